"""What people are told of their texts, through ``xtool.explain`` with the defaults."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import xtool
from xtool.plugin import load_encoder
from xtool_photo.encoder import PhotoEncoder
from xtool_photo.load import INPUT_SIZE

NONSENSE = (
    "asdfgh", "sadness", "猫", "Angela Merkel", "12345", "😀", "justice", "qwertyuiop", "собака", "the day after",
    "blorptang", "Taylor Swift", "xkcd", "?!", "yesterday", "photosynthesis", "a feeling of hope", "zzz", "犬と猫",
    "of the",
)  # fmt: skip

needs_vlscore = pytest.mark.skipif(find_spec("xtool_vlscore") is None, reason="needs the method of xtool-vlscore")


@needs_vlscore
def test_twenty_of_twenty_nonsense_texts_are_said_to_be_unknown(encoder: PhotoEncoder) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    found = xtool.explain(noise, NONSENSE, methods="vlscore", encoder=encoder)
    assert [
        text for text, verdict in zip(NONSENSE, found.verdicts, strict=True) if verdict.words != NOT_UNDERSTOOD
    ] == []
    assert not found.present.any()
    assert all(understood.reason for understood in found.understood)


NOT_UNDERSTOOD = "text not understood"


@needs_vlscore
def test_a_raccoon_is_present_and_a_car_is_absent(encoder: PhotoEncoder, photographs: Path) -> None:
    """On the first photograph of the even half, which choices were made on."""
    photo = min((photographs / "raccoon-mini" / "JPEGImages").iterdir())
    found = xtool.explain(photo, ["raccoon", "car", "sadness"], methods="vlscore", encoder=encoder)
    assert [verdict.words for verdict in found.verdicts] == ["present", "absent", NOT_UNDERSTOOD]
    assert found.calibration is not None


@needs_vlscore
def test_the_bounds_are_those_of_the_default_size_and_weights(encoder: PhotoEncoder) -> None:
    assert encoder.info.input_size == (INPUT_SIZE, INPUT_SIZE)
    assert encoder.info.calibrations
    assert load_encoder("photo", input_size=224).info.calibrations == ()
    assert load_encoder("photo", pretrained=None).info.calibrations == ()
    masked = xtool.explain(Image.new("RGB", (64, 64)), "dog", methods="vlscore:present_above=base", encoder=encoder)
    assert masked.calibration is None
