"""The list of models, and what is said of one that does not know the picture."""

from __future__ import annotations

import pytest

from xtool_app.encoders import EncoderChoice, offered_encoders, warning_about
from xtool_app.pictures import PHOTOGRAPHS, PICTOGRAMS


def test_what_knows_the_picture_comes_first() -> None:
    pytest.importorskip("xtool_photo", reason="needs the plugin xtool-photo")
    pytest.importorskip("xtool_tiny", reason="needs the plugin xtool-tiny")
    assert offered_encoders(PHOTOGRAPHS)[0].name == "photo"
    assert offered_encoders(PICTOGRAMS)[0].name == "tiny-rn"


def test_a_model_for_pictograms_warns_of_photographs_and_of_nothing_else() -> None:
    tiny = EncoderChoice(name="tiny-rn", family="tiny", knows=PICTOGRAMS, parameters=1_600_000, here=True)
    clip = EncoderChoice(name="RN50", family="CLIP ResNet", knows=PHOTOGRAPHS, parameters=102_000_000, here=False)
    assert "knows only pictograms" in warning_about(tiny, PHOTOGRAPHS)
    assert warning_about(tiny, PICTOGRAMS) == warning_about(clip, PHOTOGRAPHS) == ""


def test_a_label_says_what_it_knows_how_large_it_is_and_where() -> None:
    tiny = EncoderChoice(name="tiny-rn", family="tiny", knows=PICTOGRAMS, parameters=1_600_000, here=True)
    clip = EncoderChoice(name="RN50", family="CLIP ResNet", knows=PHOTOGRAPHS, parameters=102_000_000, here=False)
    assert tiny.label == "tiny-rn: pictograms, 1.6 M, here"
    assert clip.label == "CLIP ResNet RN50: photographs, 102 M, download"
