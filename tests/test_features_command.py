"""``xtool features`` on the planted encoder, and on the bundled ViT where that plugin is there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from xtool.paint.feature_grid import most_varied
from xtool.testing.planted import planted_image

PLANTED = ("--encoder", "planted-cnn")


@pytest.fixture
def picture(tmp_path: Path) -> str:
    planted_image({"red": (8, 8, 32, 32), "blue": (40, 40, 56, 56)}).save(tmp_path / "picture.png")
    return "picture.png"


def test_extractors_are_listed(xtool: Any) -> None:
    done = xtool("features", "--list")
    assert done.returncode == 0, done.stderr
    assert "planted" in done.stdout
    assert "The colour detectors." in done.stdout


def test_maps_are_drawn_and_told(xtool: Any, picture: str, tmp_path: Path) -> None:
    done = xtool("features", picture, *PLANTED, "--maps", "3", "-o", "maps.png")
    assert done.returncode == 0, done.stderr
    assert "6 maps of 8×8" in done.stdout
    # Red and blue are painted, green is not; the first half answers more strongly than the second.
    assert "channel 1, channel 3," in done.stdout
    with Image.open(tmp_path / "maps.png") as figure:
        assert figure.width > 300


def test_principal_components_come_in_order(xtool: Any, picture: str) -> None:
    done = xtool("features", picture, *PLANTED, "--pca", "2", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["shape"] == [2, 8, 8]
    assert told["shown"] == ["component 1", "component 2"]
    assert (told["features"], told["layer"]) == ("planted", "layer1")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--features", "plantd"), "did you mean planted"),
        (("--layer", "layer9"), "no layer 'layer9'"),
        (("-o", "maps.txt"), "must end in"),
    ],
)
def test_wrong_names_are_told(xtool: Any, picture: str, arguments: tuple[str, ...], told: str) -> None:
    done = xtool("features", picture, *PLANTED, *arguments)
    assert done.returncode == 2
    assert told in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("fit", ["squash", "crop", "pad"])
def test_any_fit_draws(xtool: Any, tmp_path: Path, fit: str) -> None:
    planted_image({"red": (8, 8, 32, 32)}, size=(96, 48)).save(tmp_path / "wide.png")
    done = xtool("features", "wide.png", *PLANTED, "--fit", fit, "-o", "maps.svg")
    assert done.returncode == 0, done.stderr
    assert "<svg" in (tmp_path / "maps.svg").read_text("utf-8")


def test_attention_of_a_vit_is_called_heads(xtool: Any, picture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("xtool_tiny")
    monkeypatch.setenv("XTOOL_DISABLE_PLUGINS", "")
    done = xtool(
        "features", picture, "--encoder", "tiny-vit", "--pretrained", "none", "--features", "attention", "--json"
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["shown"][0] == "head 1"
    assert "head 1" in json.loads(done.stdout)["shown"]


def test_the_most_varied_maps_come_first() -> None:
    maps = np.zeros((3, 4, 4), np.float32)
    maps[1, 0, 0], maps[2, 0, 0] = 1, 2
    assert most_varied(maps, 2) == [2, 1]
