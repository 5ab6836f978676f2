"""Towers of other libraries in one question: a vision transformer without texts proposes, a classifier judges."""

from __future__ import annotations

import numpy as np
import pytest

from xtool import explain, load_encoder


def test_a_tower_without_texts_proposes_to_one_that_has_some() -> None:
    pytest.importorskip("xtool_timm")
    source = load_encoder("timm", pretrained="vit_tiny_patch16_224=none", input_size=64, device="cpu")
    judge = load_encoder("timm-resnet18", pretrained="none", device="cpu")
    image = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
    found = explain(image, ["tench", "goldfish"], methods="vlscore:pca=6", encoder=judge, features_from=source)
    assert found.maps.shape == (2, 90, 120)
    assert found.forwards == 3  # the proposer's; the judge's of the image, and that of all masks
    assert not np.allclose(found.maps[0], found.maps[1])
