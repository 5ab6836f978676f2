"""Whole models by their names, over a hub on loopback and the real download code, and then without any network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import open_clip
import pytest
import torch
from clip_testing import CPU, TEXT, VIT, noise, write_folder
from safetensors.torch import save

from xtool.loading import sha256
from xtool.plugin import SetupError, load_encoder
from xtool_clip.catalogue import repository
from xtool_clip.load import load

if TYPE_CHECKING:
    from local_hub import Fault, LocalHub

pytestmark = pytest.mark.slow

SMALL = {"embed_dim": 24, "vision_cfg": VIT, "text_cfg": TEXT}
TEXTS = ["an image of a dog.", "snow on a mountain"]


def weights_of(name: str, seed: int = 3) -> bytes:
    """Random weights as the hub keeps published ones, in half precision."""
    state = load(name, CPU.model_copy(update={"seed": seed})).model.state_dict()
    return save({key: value.half() if value.is_floating_point() else value for key, value in state.items()})


def go_offline(hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.stop()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


@pytest.mark.parametrize("name", ["RN50", "ViT-B-32"])
def test_openais_models_are_downloaded_by_name_and_then_work_offline(
    name: str, local_hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = weights_of(name)
    local_hub.add(repository(name), {"open_clip_model.safetensors": content})
    encoder = load_encoder(name, device="cpu")
    assert encoder.info.weights == "openai"
    (tmp_path / "weights").write_bytes(content)
    assert encoder.info.weights_sha256 == sha256(tmp_path / "weights")
    # open_clip's own download, from the same hub, of the same model.
    theirs = open_clip.create_model(f"{name}-quickgelu", pretrained="openai", cache_dir=str(tmp_path / "theirs")).eval()
    pixels = noise(encoder, batch=1)  # type: ignore[arg-type]
    with torch.no_grad():
        images, texts = (
            theirs.encode_image(pixels, normalize=True),
            theirs.encode_text(open_clip.get_tokenizer(name)(TEXTS), normalize=True),
        )
        torch.testing.assert_close(encoder.encode_image(pixels), images, rtol=0, atol=1e-5)
    torch.testing.assert_close(encoder.encode_text(TEXTS), texts, rtol=0, atol=1e-5)
    go_offline(local_hub, monkeypatch)
    assert torch.equal(load_encoder(name, device="cpu").encode_text(TEXTS), encoder.encode_text(TEXTS))


def test_a_siglip_is_downloaded_with_its_tokenizer_and_then_works_offline(
    local_hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("transformers", reason="SigLIP's tokenizer is one of transformers")
    name = "ViT-B-16-SigLIP"
    local_hub.add("timm/ViT-B-16-SigLIP", {"open_clip_model.safetensors": weights_of(name), **tokenizer_files()})
    encoder = load_encoder(name, pretrained="webli", device="cpu")
    theirs = open_clip.get_tokenizer(name)(TEXTS)
    with torch.no_grad():
        own = encoder.model.encode_text(theirs, normalize=True)
    torch.testing.assert_close(encoder.encode_text(TEXTS), own, rtol=0, atol=1e-5)
    assert encoder.info.mean == (0.5, 0.5, 0.5)
    go_offline(local_hub, monkeypatch)
    again = load_encoder(name, pretrained="webli", device="cpu")
    assert torch.equal(again.encode_text(TEXTS), encoder.encode_text(TEXTS))


def tokenizer_files() -> dict[str, bytes]:
    """A tokenizer of a few words, as transformers reads it."""
    words = ["<pad>", "</s>", "<unk>", "a", "an", "dog", "snow"]
    tokenizer = {
        "version": "1.0",
        "pre_tokenizer": {"type": "Whitespace"},
        "model": {"type": "WordLevel", "vocab": {word: i for i, word in enumerate(words)}, "unk_token": "<unk>"},
        "added_tokens": [],
    }
    marks = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    config = {"tokenizer_class": "PreTrainedTokenizerFast", **marks}
    return {"tokenizer.json": json.dumps(tokenizer).encode(), "tokenizer_config.json": json.dumps(config).encode()}


@pytest.mark.parametrize("fault", ["dropped", "truncated", "corrupt"])
def test_weights_over_a_bad_line_are_one_clear_error_and_the_next_run_heals(
    fault: Fault, local_hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    file = "open_clip_model.safetensors"
    local_hub.add(repository("RN50"), {file: weights_of("RN50")})
    local_hub.faults[file] = [fault] * 20
    with pytest.raises(SetupError) as caught:
        load_encoder("RN50", device="cpu")
    first, *ways_out = str(caught.value).splitlines()
    assert first.startswith(
        f"cannot get the weights 'openai' of RN50: the download of timm/resnet50_clip.openai/{file} "
    )
    assert ways_out[0] == "Ways out:"
    local_hub.faults.clear()
    assert load_encoder("RN50", device="cpu").info.weights == "openai"


def test_the_command_shows_a_repository_and_again_without_the_hub(local_hub: LocalHub, tmp_path: Path) -> None:
    """In processes of their own, with the variables that people set."""
    local_hub.add_folder("org/small", write_folder(tmp_path / "small", SMALL))
    command = [sys.executable, "-m", "xtool", "explain", "--encoder", "org/small", "--method", "gradcam", "--text=dog"]
    variables = {**os.environ, "HF_ENDPOINT": local_hub.url, "HF_HOME": str(tmp_path / "home")}
    for more in ({}, {"HF_HUB_OFFLINE": "1"}):
        done = subprocess.run(command, env={**variables, **more}, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "hf-hub:org/small" in done.stdout + done.stderr
        local_hub.stop()
