"""Whether a map depends on the text, by hand, as a metric, and in what ``explain`` answers."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import xtool
from xtool.metrics.specificity import Specificity, map_correlation
from xtool.testing.planted import PlantedCNN, planted_image


def test_correlation_by_hand() -> None:
    one = np.array([[0.0, 1.0], [2.0, 3.0]])
    assert map_correlation(one, 5 * one + 7) == pytest.approx(1)
    assert map_correlation(one, -one) == pytest.approx(-1)
    # Less their means: (−1.5, −0.5, 0.5, 1.5) and (−0.75, −0.75, 2.25, −0.75); 1.5 / √(5 · 6.75).
    other = np.array([[0.0, 0.0], [3.0, 0.0]])
    assert map_correlation(one, other) == pytest.approx(1.5 / np.sqrt(5 * 6.75))


def test_a_map_that_says_nothing_is_like_none() -> None:
    one = np.array([[0.0, 1.0], [2.0, 3.0]])
    for silent in (np.full((2, 2), 0.3), np.array([[0, np.nan], [1, 2]]), np.array([[0, np.inf], [1, 2]])):
        assert map_correlation(one, silent) is None
        assert map_correlation(silent, one) is None


def answer(*rows: tuple[float, ...]) -> Any:
    return SimpleNamespace(image_map=SimpleNamespace(low=np.array(rows)))


def test_the_metric_is_one_less_the_correlation_with_an_absent_text_or_else_with_the_distractor() -> None:
    target, other, negative = answer((0, 1), (2, 3)), answer((0, 0), (3, 0)), answer((3, 2), (1, 0))
    value = 1 - 1.5 / np.sqrt(5 * 6.75)
    for absent, distractor, expected in ((other, negative, value), (None, other, value), (negative, None, 2)):
        case: Any = SimpleNamespace(target=target, absent=absent, distractor=distractor)
        assert Specificity().measure(case) == pytest.approx(expected)
    nothing: Any = SimpleNamespace(target=target, absent=None, distractor=None)
    assert Specificity().measure(nothing) is None


def test_a_comparison_has_it_in_its_json(request: pytest.FixtureRequest) -> None:
    run = request.getfixturevalue("xtool")
    compare = ("compare", "--encoder", "planted-cnn", "--dataset", "patches", "--methods", "colourcam,everywhere")
    done = run(*compare, "--limit", "3", "--json", "--out", "run")
    assert done.returncode == 0, done.stderr
    assert all(row["specificity"] is None for row in json.loads(done.stdout)["rows"]), (
        "maps of what is absent are empty"
    )


@pytest.fixture
def green_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted encoder knows colours, so that one of them takes the place of things and nonsense."""
    monkeypatch.setattr("xtool.engine.probes.THINGS", ("green",))
    monkeypatch.setattr("xtool.engine.probes.NONSENSE", ("green",))


@pytest.mark.usefixtures("green_is_asked")
def test_explain_says_when_any_text_gives_the_same_map() -> None:
    image = planted_image({"red": (8, 8, 32, 32), "blue": (40, 40, 56, 56), "green": (40, 8, 56, 24)})
    answers = xtool.explain(image, ["red", "blue"], methods=["gradcam", "center"], encoder=PlantedCNN())
    gradient, control = answers
    assert control.specificity == pytest.approx([0, 0], abs=1e-6)
    (note,) = control.notes
    assert note.startswith(
        "center: the map hardly depends on the text; that of 'red' and 'blue' is nearly that of 'green'"
    )
    assert control.as_json()["texts"][0]["specificity"] == pytest.approx(0, abs=1e-6)
    assert (gradient.specificity > 0.9).all()
    assert gradient.notes == ()


@pytest.mark.usefixtures("green_is_asked")
def test_it_is_not_asked_where_it_would_take_many_more_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xtool.explainer.passes_of", lambda request, encoder, pixels, texts: 100 * texts)
    answer = xtool.explain(planted_image({"red": (8, 8, 32, 32)}), "red", methods="center", encoder=PlantedCNN())
    assert answer.specificity is None
    assert answer.as_json()["texts"][0]["specificity"] is None
