"""Which words of a text mattered: worked out by hand, for any encoder, and shown wherever an answer is shown."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from matplotlib.text import Text
from PIL import Image
from torch.nn.functional import normalize

import xtool
from xtool.cli import main
from xtool.cli.tables import word_lines
from xtool.engine.words import Word, word_relevance, words_in
from xtool.errors import UsageError
from xtool.paint.figure import maps_figure
from xtool.paint.panel import MapPanel
from xtool.paint.words import signed, word_colour
from xtool.testing.planted import DIMENSIONS, PlantedCNN, planted_image

PLANTED_PLUGIN = Path(__file__).parent / "planted_plugin"
EAST, NORTH = torch.eye(DIMENSIONS)[:2]
HALF = 0.5**0.5


@pytest.fixture(autouse=True)
def planted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    from xtool.contracts.registry import registry

    monkeypatch.syspath_prepend(PLANTED_PLUGIN)
    monkeypatch.setenv("XTOOL_DISABLE_PLUGINS", "clip,vlscore,cam,tiny,timm,photo")
    registry.cache_clear()
    yield
    registry.cache_clear()


@pytest.fixture
def picture() -> Image.Image:
    return planted_image({"red": (8, 8, 32, 32)})


class AddsWords(PlantedCNN):
    """Its embedding of a text is the sum of its words' vectors, at length 1; it remembers what it was asked."""

    def __init__(self, vectors: dict[str, torch.Tensor]) -> None:
        super().__init__()
        self.vectors = vectors
        self.asked: list[str] = []

    def encode_text(self, texts: Sequence[str]) -> torch.Tensor:
        self.asked += texts
        return torch.stack([self.embedded(text) for text in texts])

    def embedded(self, text: str, scaled: dict[str, float] | None = None) -> torch.Tensor:
        words = text.strip(".").split()
        total = sum(((scaled or {}).get(word, 1.0) * self.vectors[word] for word in words if word in self.vectors),
                    1e-9 * torch.eye(DIMENSIONS)[-1])  # fmt: skip
        return normalize(total, dim=0)


def values(found: tuple[tuple[Word, ...], ...]) -> list[list[tuple[str, float]]]:
    return [[(word.word, pytest.approx(word.relevance, abs=1e-5)) for word in words] for words in found]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a red car", ["a", "red", "car"]),
        ('  "A t-shirt", isn\'t it? ', ["A", "t-shirt", "isn't", "it"]),
        ("dog,cat/fox", ["dog", "cat", "fox"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("赤い車 2台", ["赤", "い", "車", "2", "台"]),
        ("… !", []),
    ],
)
def test_words_are_what_stands_between_blanks_without_punctuation(text: str, words: list[str]) -> None:
    assert [text[start:end] for start, end in words_in(text)] == words


def test_a_word_matters_by_what_the_cosine_loses_without_it() -> None:
    """Image and "red" point east, "car" north. Together: cos 45°. Without "red" nothing is left, without "car" all."""
    encoder = AddsWords({"red": EAST, "car": NORTH})
    found = word_relevance(encoder, EAST, ["the red car"], None)
    assert values(found) == [[("the", 0.0), ("red", HALF - 0.0), ("car", HALF - 1.0)]]
    assert [(word.start, word.end) for word in found[0]] == [(0, 3), (4, 7), (8, 11)]


def test_several_templates_count_as_the_one_embedding_that_they_give() -> None:
    """The second template adds north: the mean of (1, 0) and (1, 1)/√2 is at 22.5°; without the word the templates
    alone are left, of which the first says nothing and the second north."""
    encoder = AddsWords({"red": EAST, "drawn": NORTH})
    ((word,),) = word_relevance(encoder, EAST, ["red"], ["{label}", "{label} drawn"])
    assert word.relevance == pytest.approx(0.9238795, abs=1e-4), "cos 22.5°, less 0"


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("orange car", ["an image of an orange car.", "an image of a car.", "an image of an orange."]),
        ("an orange car", ["an image of an orange car.", "an image of a car.", "an image of an orange."]),
        ("dog", ["an image of a dog.", "an image of."]),
        ("two foxes", ["an image of two foxes.", "an image of foxes.", "an image of."]),
        ("a photo of owls.", ["a photo of owls.", "photo of owls.", "an of owls.", "a photo owls.", "a photo of."]),
        ("Is it red?", ["Is it red?", "it red?", "Is red?", "Is it?"]),
    ],
)
def test_the_shorter_text_is_asked_in_the_same_frame_and_in_good_english(text: str, asked: list[str]) -> None:
    encoder = AddsWords({})
    word_relevance(encoder, EAST, [text], ["an image of a {label}."])
    assert encoder.asked == asked


class ByGradient(AddsWords):
    """Says how the embedding moves along a direction when a word's vector grows, by central differences."""

    word_methods = ("growth",)

    def word_relevance(
        self, text: str, spans: Sequence[tuple[int, int]], direction: torch.Tensor, method: str
    ) -> list[float]:
        assert method == "growth"
        step = 1e-3
        return [
            float(
                direction
                @ (self.embedded(text, {text[a:b]: 1 + step}) - self.embedded(text, {text[a:b]: 1 - step}))
                / (2 * step)
            )
            for a, b in spans
        ]


def test_an_encoders_own_relevance_is_that_of_the_mean_over_templates() -> None:
    """Expected: the derivative of the cosine of the whole ensemble, by growing the word in all prompts at once."""
    generator = torch.Generator().manual_seed(0)
    names = ["big", "red", "car", "image", "of", "photo", "bad"]
    encoder = ByGradient({name: torch.randn(DIMENSIONS, generator=generator) for name in names})
    image = normalize(torch.randn(DIMENSIONS, generator=generator), dim=0)
    templates = ["an image of a {label}.", "a bad photo of the {label}.", "{label}"]
    prompts = ["an image of a big red  car.", "a bad photo of the big red car.", "big red car"]

    def cosine(scaled: dict[str, float]) -> float:
        mean = torch.stack([encoder.embedded(prompt, scaled) for prompt in prompts]).mean(dim=0)
        return float(image @ normalize(mean, dim=0))

    expected = [(cosine({word: 1.001}) - cosine({word: 0.999})) / 0.002 for word in ("big", "red", "car")]
    (found,) = word_relevance(encoder, image, ["big  red car"], templates, "growth")
    assert [word.relevance for word in found] == pytest.approx(expected, abs=1e-3)
    assert min(abs(value) for value in expected) > 0.005
    assert [(word.start, word.end) for word in found] == [(0, 3), (5, 8), (9, 12)], "in the text as it was typed"


def test_a_method_that_the_encoder_lacks_is_refused_with_those_it_has(picture: Image.Image) -> None:
    with pytest.raises(UsageError, match=r"planted-cnn has no word relevance 'chefer'; it has removal$"):
        xtool.explain(picture, "red", methods="colourcam", encoder=PlantedCNN(), words="chefer")
    with pytest.raises(UsageError, match="it has removal, growth"):
        word_relevance(ByGradient({}), EAST, ["red"], None, "shrinking")


def test_words_are_told_beside_the_map_and_change_nothing_of_it(picture: Image.Image) -> None:
    """For the planted encoder "red" is all that "a red thing" says, and the picture is red."""
    plain = xtool.explain(picture, "a red thing", methods="colourcam", encoder=PlantedCNN())
    found = xtool.explain(picture, "a red thing", methods="colourcam", encoder=PlantedCNN(), words="removal")
    assert plain.words is None
    assert plain.as_json()["texts"][0]["words"] is None
    assert found.words is not None
    a, red, thing = found.words[0]
    assert (a.relevance, thing.relevance) == (0.0, 0.0)
    assert red.relevance > 0.1
    assert (found.maps == plain.maps).all()
    assert found.forwards == plain.forwards
    told = found.as_json()
    assert told["words_by"] == "removal"
    assert told["texts"][0]["words"][1] == {"word": "red", "start": 2, "end": 5, "relevance": red.relevance}


def test_every_method_of_an_answer_has_the_same_words(picture: Image.Image) -> None:
    found = xtool.explain(
        picture, ["red", "blue"], methods=["colourcam", "everywhere"], encoder=PlantedCNN(), words="removal"
    )
    assert found[0].words == found[1].words
    assert found[0].words[0][0].relevance > 0 > found[0].words[1][0].relevance - 0.5


@pytest.mark.parametrize("option", [["--words"], ["--words", "removal"]])
def test_the_command_prints_words_with_signs(picture: Image.Image, tmp_path: Path, option: list[str]) -> None:
    picture.save(tmp_path / "red.png")
    asked = [
        "explain",
        str(tmp_path / "red.png"),
        "--text",
        "a red thing",
        "--encoder",
        "planted-cnn",
        "--methods",
        "colourcam",
    ]
    asked += option
    told = CliRunner().invoke(main, asked)
    assert told.exit_code == 0, told.output
    assert "A word's number is what the cosine of image and text loses without it" in told.stdout
    (line,) = (line for line in told.stdout.splitlines() if "thing" in line and "+" in line)
    assert line.split()[:2] == ["a", "0"]
    assert line.split()[2] == "red"
    assert line.split()[3].startswith("+")
    (answer,) = json.loads(CliRunner().invoke(main, [*asked, "--json"]).stdout)["explanations"]
    assert [word["word"] for word in answer["texts"][0]["words"]] == ["a", "red", "thing"]


def test_a_terminal_marks_strong_words_more_than_weak_ones(picture: Image.Image) -> None:
    found = xtool.explain(picture, "a, b c", methods="everywhere", encoder=PlantedCNN(), words="removal")
    words = (Word("a", 0, 1, 0.5), Word("b", 3, 4, -0.2), Word("c", 5, 6, 0.01))
    _, line = word_lines(replace(found, words=(words,)))
    text: Any = line.renderable  # type: ignore[union-attr]
    assert text.plain.split() == ["a", "+0.500,", "b", "−0.200", "c", "+0.010"]
    styles = {text.plain[span.start : span.end].strip(): span.style for span in text.spans}
    assert "on #" in styles["a"]
    assert "on #" not in styles["b"]
    assert "c" not in styles


def test_numbers_have_a_sign_and_as_many_decimals_as_they_need() -> None:
    assert [signed(value, 0.03) for value in (0.0211, -0.004, 0.0004, 0.0)] == ["+0.021", "−0.004", "0", "0"]
    assert [signed(value, 0.00059) for value in (0.00059, -0.00023)] == ["+0.00059", "−0.00023"]
    assert signed(1e-9, 1e-9) == "0", "what is left of rounding is nothing"


def test_colours_are_warm_for_and_blue_against_and_white_for_nothing() -> None:
    red, _, blue = bytes.fromhex(word_colour(0.02, 0.02)[1:])
    assert red > blue + 100
    red, _, blue = bytes.fromhex(word_colour(-0.02, 0.02)[1:])
    assert blue > red + 100
    assert word_colour(0.0, 0.02) == word_colour(0.0, 0.0) == "#ffffff"
    assert word_colour(0.01, 0.02) == "#ffceae", "half way from white to #ff9d5c"


@pytest.mark.parametrize("size", [(120, 80), (40, 200)])
def test_words_of_a_long_text_stay_inside_the_figure_and_apart(size: tuple[int, int]) -> None:
    text = "a photograph of " + "an extraordinarily hyperextended, iridescent thing and a dog; " * 4
    words = [Word(text[a:b], a, b, 0.01 * (-1) ** i) for i, (a, b) in enumerate(words_in(text))]
    panel = MapPanel(heat=np.ones(size[::-1], np.float32), boxes=np.zeros((0, 4), int), title="m")
    figure = maps_figure(Image.new("RGB", size), [text], [[panel]], note="", words=[words])
    figure.draw_without_rendering()
    names = {word.word for word in words}
    drawn = [part for part in figure.axes[0].findobj(Text) if part.get_text() in names]
    assert [part.get_text() for part in drawn] == [word.word for word in words]
    places = [part.get_window_extent() for part in drawn]
    assert max(place.x1 for place in places) <= figure.bbox.x1
    assert min(place.y0 for place in places) >= figure.axes[1].get_window_extent().y1, "above the pictures"
    assert not any(one.overlaps(other) for i, one in enumerate(places) for other in places[:i])


def test_the_figure_names_the_words_in_place_of_the_title(picture: Image.Image) -> None:
    found = xtool.explain(picture, "a red thing", methods="colourcam", encoder=PlantedCNN(), words="removal")
    figure = found.figure()
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert "a red thing" not in titles
    assert "colourcam" in titles
    assert "A word's number is what" in figure.get_supxlabel()
