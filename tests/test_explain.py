"""``xtool.explain`` in Python: what it takes, what it answers, and how an answer shows itself."""

from __future__ import annotations

import base64
import re
import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import xtool
from xtool.contracts.protocols import Encoder, Saliency
from xtool.errors import DataError, UsageError
from xtool.explanation import Explanation, Explanations
from xtool.testing.planted import PlantedCNN, planted_image

PLANTED_PLUGIN = Path(__file__).parent / "planted_plugin"
RED = (8, 8, 32, 32)


@pytest.fixture(autouse=True)
def planted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    from xtool.contracts.registry import registry

    monkeypatch.syspath_prepend(PLANTED_PLUGIN)
    monkeypatch.setenv("XTOOL_DISABLE_PLUGINS", "clip,vlscore,cam,tiny,timm")
    registry.cache_clear()
    yield
    registry.cache_clear()


@pytest.fixture
def picture() -> Image.Image:
    return planted_image({"red": RED})


def explain(image, texts=("red", "blue"), methods="colourcam", **options):
    return xtool.explain(image, texts, methods=methods, encoder=PlantedCNN(), **options)


def test_one_method_gives_one_answer_and_a_list_gives_a_list(picture: Image.Image) -> None:
    assert isinstance(explain(picture), Explanation)
    several = explain(picture, methods=["colourcam", "everywhere"])
    assert isinstance(several, Explanations)
    assert [each.method for each in several] == ["colourcam", "everywhere"]
    assert isinstance(explain(picture, methods=["colourcam"]), Explanations)
    with pytest.raises(UsageError, match="as a list"):
        explain(picture, methods="colourcam,everywhere")


def test_a_list_of_images_gives_a_list_of_answers(picture: Image.Image) -> None:
    blank = np.full((64, 64), 128, np.uint8)
    found = explain([picture, blank])
    assert [each.present.tolist() for each in found] == [[True, False], [False, False]]
    pairs = explain((picture, blank), methods=["colourcam", "everywhere"])
    assert [[each.method for each in pair] for pair in pairs] == [["colourcam", "everywhere"]] * 2
    with pytest.raises(UsageError, match="list is empty"):
        explain([])


def test_every_way_to_give_the_same_picture_gives_the_same_map(picture: Image.Image, tmp_path: Path) -> None:
    path = tmp_path / "red.png"
    picture.save(path)
    values = np.asarray(picture)
    expected = explain(picture).maps
    ways = [
        path, str(path), path.read_bytes(), BytesIO(path.read_bytes()), values, values / 255.0,
        values.astype(np.uint16) * 257, torch.tensor(values), torch.tensor(values).permute(2, 0, 1),
        torch.tensor(values).permute(2, 0, 1).float() / 255,
    ]  # fmt: skip
    for way in ways:
        np.testing.assert_array_equal(explain(way).maps, expected)


def test_what_is_no_picture_is_told_before_a_model_loads(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"made from builtins\.dict; give the path"):
        xtool.explain({}, "red", methods="colourcam", encoder="no such encoder")
    with pytest.raises(UsageError, match="is a URL"):
        xtool.explain("https://example.org/a.png", "red", methods="colourcam", encoder="no such encoder")
    with pytest.raises(DataError, match="no such file"):
        xtool.explain(tmp_path / "a.png", "red", methods="colourcam", encoder="no such encoder")
    for nothing in ("", " ", [], ["red", ""], [3]):
        with pytest.raises(UsageError, match="at least one text"):
            xtool.explain(Image.new("RGB", (8, 8)), nothing, methods="colourcam", encoder="no such encoder")


def test_names_go_into_prompts_and_the_texts_stay_as_typed(picture: Image.Image) -> None:
    found = explain(picture, ["red", "a photo of red.", "owl"])
    assert found.texts == ("red", "a photo of red.", "owl")
    assert found.prompts == (("an image of a red.",), ("a photo of red.",), ("an image of an owl.",))
    assert explain(picture, "red", templates=None).prompts == (("red",),)
    assert explain(picture, "red", templates=["a {label}", "{label}"]).prompts == (("a red", "red"),)


class Undecided:
    """A method that cannot tell, with an empty map for the second text."""

    def explain(self, encoder: Encoder, pixels: torch.Tensor, text: torch.Tensor) -> Saliency:
        maps = torch.zeros(1, len(text), 4, 4)
        maps[0, 0, 1, 1] = 1
        return Saliency(maps, present=None)


def test_a_method_that_cannot_tell_says_so_everywhere(picture: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xtool.explainer.build_method", lambda request, info: Undecided())
    found = explain(picture)
    assert found.present is None
    assert [verdict.words for verdict in found.verdicts] == ["cannot tell"] * 2
    assert [(text["present"], text["verdict"]) for text in found.as_json()["texts"]] == [(None, "cannot tell")] * 2
    assert "'red' cannot tell" in repr(found)


def test_boxes_are_half_open_and_around_the_thing(picture: Image.Image) -> None:
    red, blue = explain(picture).boxes(0.5)
    assert np.abs(red - [RED]).max() <= 8  # a cell of the planted tower
    assert len(blue) == 0
    with pytest.raises(UsageError, match=r"lie in \[0, 1\)"):
        explain(picture).boxes(1.0)


def test_an_answer_shows_itself_in_a_notebook_and_reads_shortly(picture: Image.Image) -> None:
    for answer in (explain(picture), explain(picture, methods=["colourcam", "everywhere"])):
        assert Image.open(BytesIO(answer._repr_png_())).width > 300
        html = answer._repr_html_()
        (content,) = re.findall(r'src="data:image/png;base64,([^"]+)"', html)
        assert base64.b64decode(content).startswith(b"\x89PNG")
        assert "&#x27;red&#x27; present" in html
    assert repr(explain(picture)) == (
        "<Explanation of a 64×64 image by colourcam, planted-cnn: 'red' present, 'blue' absent>"
    )


def test_a_typed_text_is_never_markup(picture: Image.Image) -> None:
    assert "<script" not in explain(picture, '"><script>alert(1)</script>')._repr_html_()


def test_show_opens_the_picture_in_a_viewer(picture: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[tuple[int, int]] = []
    monkeypatch.setattr(Image.Image, "show", lambda self: shown.append(self.size))
    explain(picture).show()
    assert len(shown) == 1


def test_maps_are_saved_as_numbers(picture: Image.Image, tmp_path: Path) -> None:
    one = explain(picture)
    np.testing.assert_array_equal(np.load(one.save(tmp_path / "new" / "one.npy")), one.maps)
    several = explain(picture, methods=["colourcam", "everywhere"])
    assert np.load(several.save(tmp_path / "several.npy")).shape == (2, 2, 64, 64)
    with pytest.raises(UsageError, match="must end in"):
        one.save(tmp_path / "maps.csv")


def test_a_figure_has_a_column_per_method(picture: Image.Image) -> None:
    one, two = explain(picture).figure(), explain(picture, methods=["colourcam", "everywhere"]).figure()
    assert two.get_figwidth() == pytest.approx(1.5 * one.get_figwidth())  # 3 panels for 2


def test_the_version_is_the_distributions_and_importing_stays_light() -> None:
    from importlib.metadata import version

    assert xtool.__version__ == version("xtool-saliency")
    code = "import xtool, sys; xtool.__version__; print('torch' in sys.modules, 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.split() == ["False"] * 2
