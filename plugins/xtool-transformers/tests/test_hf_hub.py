"""Models from a hub on loopback, through the real download code, and from the command line."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from click.testing import CliRunner
from hf_testing import open_model

from xtool.cli import main
from xtool.plugin import SetupError, UsageError, load_encoder

if TYPE_CHECKING:
    from local_hub import LocalHub

Saved = Callable[[str], tuple[Path, Any]]

PHOTOGRAPH = Path(__file__).parents[2] / "xtool-photo" / "src" / "xtool_photo" / "data" / "photos" / "chelsea.jpg"


@pytest.mark.parametrize("kind", ["clip", "siglip", "align"])
def test_a_repository_is_downloaded_once_and_is_what_the_folder_is(
    kind: str, saved: Saved, local_hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = saved(kind)[0]
    local_hub.add_folder("org/model", folder)
    beside = open_model(folder)
    for name in ("org/model", "hf:org/model"):
        encoder = load_encoder(name, device="cpu")
        assert encoder.info.name == "hf:org/model"
        assert encoder.info.weights == "org/model"
        assert encoder.info.weights_sha256 == beside.info.weights_sha256
        assert torch.equal(encoder.encode_text(["a dog", "zebra"]), beside.encode_text(["a dog", "zebra"]))
        local_hub.stop()  # the second time, nobody answers
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def test_weights_in_parts_come_from_the_hub_and_damaged_ones_heal(
    saved: Saved, local_hub: LocalHub, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder, model = saved("clip")
    model.save_pretrained(tmp_path / "parts", max_shard_size="60kB")
    local_hub.add("org/large", {f.name: f.read_bytes() for f in folder.iterdir() if f.suffix != ".safetensors"})
    local_hub.add_folder("org/large", tmp_path / "parts")
    part = sorted(file.name for file in (tmp_path / "parts").glob("model-*.safetensors"))[1]
    local_hub.faults[part] = ["corrupt"]
    encoder = load_encoder("org/large", device="cpu")
    assert "is damaged, its hash is not the hub's; downloading it again" in caplog.text
    torch.testing.assert_close(encoder.encode_text(["a dog"]), open_model(folder).encode_text(["a dog"]))
    del local_hub.repositories["org/large"][part]
    with pytest.raises(SetupError, match=f"has no {part}, a part of its weights"):
        load_encoder("org/large", device="cpu", cache_dir=str(tmp_path / "other"))


def test_random_weights_download_none(saved: Saved, local_hub: LocalHub) -> None:
    local_hub.add_folder("org/model", saved("clip")[0])
    assert not load_encoder("org/model", pretrained="none", device="cpu").info.trained
    assert not any("safetensors" in request for request in local_hub.requests)


def test_a_repository_without_weights_or_of_another_kind_is_told(saved: Saved, local_hub: LocalHub) -> None:
    folder = saved("clip")[0]
    local_hub.add("org/bare", {f.name: f.read_bytes() for f in folder.iterdir() if f.suffix != ".safetensors"})
    with pytest.raises(SetupError, match=r"the repository org/bare has none of model\.safetensors"):
        load_encoder("org/bare", device="cpu")
    local_hub.add("org/text", {"config.json": b'{"model_type": "bert"}'})
    with pytest.raises(UsageError, match="'bert', and xtool-transformers reads clip"):
        load_encoder("hf:org/text", device="cpu")
    with pytest.raises(SetupError, match="the hub has no such repository"):
        load_encoder("hf:org/gone", device="cpu")


@pytest.mark.slow
@pytest.mark.parametrize("own", [True, False], ids=["own weights", "random weights"])
def test_a_photograph_is_explained_and_only_random_weights_are_said_to_be_untrained(
    own: bool, saved: Saved, tmp_path: Path
) -> None:
    pytest.importorskip("xtool_cam", reason="needs Grad-CAM")
    given = ["explain", str(PHOTOGRAPH), "--text", "dog", "--encoder", str(saved("clip")[0]), "--method", "gradcam"]
    given += ["--device", "cpu", "-o", str(tmp_path / "map.png")]
    result = CliRunner().invoke(main, [*given, *([] if own else ["--pretrained", "none"])])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "map.png").is_file()
    untrained = re.search(r"random|not trained|untrained", result.output)
    assert (untrained is None) == own, result.output
