"""Models in open_clip's layout, from a folder or from a hub on loopback, are what open_clip itself makes of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import open_clip
import pytest
import torch
from clip_testing import CNN, TEXT, VIT, noise, timm_tower, write_folder
from torch.nn import functional as F

from xtool.plugin import SetupError, UsageError, load_encoder

if TYPE_CHECKING:
    from local_hub import LocalHub

MODELS: dict[str, dict[str, Any]] = {
    "CLIP with a ResNet": {"embed_dim": 24, "vision_cfg": CNN, "text_cfg": TEXT},
    "CLIP with a ViT and QuickGELU": {"embed_dim": 24, "quick_gelu": True, "vision_cfg": VIT, "text_cfg": TEXT},
    "SigLIP": {
        "embed_dim": 64,
        "init_logit_bias": -10,
        "custom_text": True,
        "vision_cfg": timm_tower("test_vit", 160, "map", proj="none"),
        "text_cfg": {**TEXT, "context_length": 16, "no_causal_mask": True, "proj_bias": True, "pool_type": "last"},
    },
}


@pytest.mark.parametrize("kind", MODELS)
def test_the_embeddings_of_a_folder_are_open_clips_own(kind: str, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "model", MODELS[kind])
    encoder = load_encoder(f"local-dir:{folder}", device="cpu")
    theirs, _, transform = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    theirs.eval()
    texts, pixels = ["an image of a dog.", "snow"], noise(encoder)
    with torch.no_grad():
        images = F.normalize(theirs.encode_image(pixels), dim=-1)
        words = F.normalize(theirs.encode_text(open_clip.get_tokenizer(f"local-dir:{folder}")(texts)), dim=-1)
        torch.testing.assert_close(encoder.encode_image(pixels), images, rtol=0, atol=1e-5)
    torch.testing.assert_close(encoder.encode_text(texts), words, rtol=0, atol=1e-5)
    info = encoder.info
    assert (info.name, info.weights, info.trained) == (f"local-dir:{folder}", "open_clip_model.safetensors", True)
    normalize = transform.transforms[-1]
    assert (list(info.mean), list(info.std)) == (list(normalize.mean), list(normalize.std))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "model", MODELS["CLIP with a ViT and QuickGELU"])


def test_a_repository_is_downloaded_once_and_is_what_the_folder_is(
    folder: Path, local_hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    local_hub.add_folder("org/model", folder)
    beside = load_encoder(str(folder), device="cpu")
    assert beside.info.name == f"local-dir:{folder}"
    texts = ["a dog", "a cat"]
    for name in ("hf-hub:org/model", "org/model"):
        encoder = load_encoder(name, device="cpu")
        assert encoder.info.name == "hf-hub:org/model"
        assert encoder.info.weights_sha256 == beside.info.weights_sha256
        assert torch.equal(encoder.encode_text(texts), beside.encode_text(texts))
        local_hub.stop()  # the second time, nobody answers
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def test_weights_of_ones_own_go_into_the_model_of_a_repository(folder: Path, tmp_path: Path) -> None:
    tuned = write_folder(tmp_path / "tuned", MODELS["CLIP with a ViT and QuickGELU"], seed=8)
    expected = load_encoder(f"local-dir:{tuned}", device="cpu").encode_text(["a dog"])
    weights = str(tuned / "open_clip_model.safetensors")
    encoder = load_encoder(f"local-dir:{folder}", pretrained=weights, device="cpu")
    assert torch.equal(encoder.encode_text(["a dog"]), expected)
    random = load_encoder(f"local-dir:{folder}", pretrained="none", device="cpu")
    assert (random.info.trained, random.info.mean) == (False, (0.5, 0.5, 0.5))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("no configuration", r"the folder .* has no open_clip_config\.json, so it is not in open_clip's layout"),
        ("no towers", r"its open_clip_config\.json describes no model, as it has no vision_cfg and no text_cfg"),
        ("no weights", r"has none of open_clip_model\.safetensors, .*; --pretrained PATH names any"),
        ("no JSON", r"cannot read open_clip_config\.json of the folder"),
        ("cut weights", r"cannot read weights .*open_clip_model\.safetensors"),
    ],
)
def test_a_folder_that_cannot_be_loaded_says_what_is_wrong_with_it(folder: Path, change: str, told: str) -> None:
    config, weights = folder / "open_clip_config.json", folder / "open_clip_model.safetensors"
    if change == "no configuration":
        config.unlink()
    elif change == "no towers":
        config.write_text('{"model_cfg": {"embed_dim": 8}}')
    elif change == "no weights":
        weights.unlink()
    elif change == "no JSON":
        config.write_text("{")
    else:
        weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(SetupError, match=told):
        load_encoder(f"local-dir:{folder}", device="cpu")


def test_what_is_no_place_is_told(tmp_path: Path, folder: Path, local_hub: LocalHub) -> None:
    local_hub.add("org/other", {"README.md": b"#"})
    with pytest.raises(SetupError, match="there is no folder /nowhere"):
        load_encoder("local-dir:/nowhere")
    with pytest.raises(SetupError, match="'RN50' is no repository of the Hugging Face hub; it must look like ORG/NAME"):
        load_encoder("hf-hub:RN50")
    with pytest.raises(SetupError, match=r"the repository org/other has no open_clip_config\.json"):
        load_encoder("hf-hub:org/other")
    with pytest.raises(UsageError, match="no installed plugin knows how to load what the repository org/other holds"):
        load_encoder("org/other")
    with pytest.raises(UsageError, match=r"(?s)unknown encoder 'org/gone'.*the hub has no such repository"):
        load_encoder("org/gone")
    with pytest.raises(UsageError, match="has no weights 'laion2b'; take its own, a path to a checkpoint, or 'none'"):
        load_encoder(f"local-dir:{folder}", pretrained="laion2b")


def test_damaged_weights_of_a_repository_heal(
    folder: Path, local_hub: LocalHub, caplog: pytest.LogCaptureFixture
) -> None:
    local_hub.add_folder("org/model", folder)
    local_hub.faults["open_clip_model.safetensors"] = ["corrupt"]
    encoder = load_encoder("hf-hub:org/model", device="cpu")
    assert "is damaged, its hash is not the hub's; downloading it again" in caplog.text
    assert torch.equal(encoder.encode_text(["x"]), load_encoder(f"local-dir:{folder}", device="cpu").encode_text(["x"]))
