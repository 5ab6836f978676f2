"""The pointing game as it is published against hits and class means worked out by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from xtool.contracts.protocols import Sample
from xtool.image.geometry import Geometry
from xtool.metrics.case import Answer, Case
from xtool.metrics.image_map import ImageMap
from xtool.metrics.pointing_margin import (
    Pointing15,
    Pointing15Difficult,
    Pointing15Mask,
    Pointing15MaskDifficult,
    class_mean_values,
)

PLAIN, HARD, MASKED, MASKED_HARD = Pointing15(), Pointing15Difficult(), Pointing15Mask(), Pointing15MaskDifficult()


def case_of(x: int, y: int, **changes: Any) -> Case:
    """A map of 60 × 40 with its maximum at (x, y); the object is the box 0 0 10 10, its mask the box's lower half."""
    full = np.zeros((40, 60), np.float32)
    full[y, x] = 1
    mask = np.zeros((40, 60), bool)
    mask[5:10, :10] = True
    sample = Sample(
        id="a",
        open=lambda: None,  # type: ignore[arg-type, return-value]
        label="dog",
        synonyms=("dog",),
        boxes=np.array([[0, 0, 10, 10]], np.float64),
        distractor="cat",
        open_mask=lambda: mask,
    )
    answer = Answer(image_map=ImageMap(full, Geometry.of((60, 40), (40, 60))), present=None, score=None)
    nothing: Any = None
    return Case(
        sample=replace(sample, **changes),
        target=answer,
        absent=None,
        distractor=None,
        protocol=nothing,
        encoder=nothing,
        pixels=nothing,
        text=nothing,
        ranks=None,
    )


def test_fifteen_pixels_are_too_far_and_fourteen_are_not() -> None:
    assert PLAIN.measure(case_of(23, 0)) is True, "the box's last column is 9"
    assert PLAIN.measure(case_of(24, 0)) is False


def test_the_mask_is_another_game_than_the_box() -> None:
    assert MASKED.measure(case_of(22, 0)) is True, "13 columns and 5 rows away: 13.9"
    assert MASKED.measure(case_of(23, 0)) is True, "14 and 5: 14.9"
    assert MASKED.measure(case_of(9, 20)) is True
    assert MASKED.measure(case_of(24, 0)) is False
    assert MASKED.measure(case_of(9, 0, open_mask=None)) is None
    assert PLAIN.measure(case_of(9, 0, open_mask=None)) is True


def test_ignored_pixels_of_a_mask_are_not_the_object() -> None:
    mask = np.full((40, 60), 255, np.uint8)
    mask[39, 59] = 1
    assert MASKED.measure(case_of(0, 0, open_mask=lambda: mask)) is False


def test_difficult_is_a_small_object_beside_another() -> None:
    assert HARD.measure(case_of(5, 5)) is True, "100 of 2400 pixels"
    assert HARD.measure(case_of(5, 5, distractor=None)) is None
    assert HARD.measure(case_of(5, 5, boxes=np.array([[0.0, 0, 30, 20]]))) is None, "a quarter is not less than one"
    assert HARD.measure(case_of(5, 5, boxes=np.array([[0.0, 0, 30, 19]]))) is True
    overlapping = np.array([[0.0, 0, 20, 20], [0.0, 0, 20, 20]])
    assert HARD.measure(case_of(5, 5, boxes=overlapping)) is True, "pixels in two boxes count once: 400 of 2400"
    assert MASKED_HARD.measure(case_of(5, 5, boxes=np.array([[0.0, 0, 60, 40]]))) is True, "by the mask's 50 pixels"


class TestClassMean:
    def test_each_class_weighs_the_same(self) -> None:
        hits, labels = np.array([1.0, 1, 0, 0, np.nan]), ["dog", "dog", "dog", "cat", "horse"]
        values = class_mean_values(hits, labels)
        assert np.nanmean(values) == pytest.approx((2 / 3 + 0) / 2), "2 of 3 dogs, 0 of 1 cats; no horse was measured"
        assert np.isnan(values).tolist() == [False] * 4 + [True]

    def test_its_interval_is_near_that_of_class_means_of_resamples(self) -> None:
        random = np.random.default_rng(4)
        labels = random.choice(["a", "b", "c"], 300, p=[0.6, 0.3, 0.1]).tolist()
        hits = (random.random(300) < [{"a": 0.9, "b": 0.5, "c": 0.3}[label] for label in labels]).astype(float)
        drawn, names = random.integers(300, size=(2000, 300)), np.array(labels)
        plain = [np.mean([hits[rows][names[rows] == name].mean() for name in "abc"]) for rows in drawn]
        ours = class_mean_values(hits, labels)[drawn].mean(axis=1)
        np.testing.assert_allclose(np.quantile(ours, (0.025, 0.975)), np.quantile(plain, (0.025, 0.975)), atol=0.01)


def test_a_run_measures_it_on_request(xtool: Any) -> None:
    names = [metric.info.name for metric in (PLAIN, HARD, MASKED, MASKED_HARD)]
    compare = ("compare", "--encoder", "planted-cnn", "--dataset", "patches", "--methods", "colourcam,everywhere")
    asked = [word for name in names for word in ("--metric", name)]
    done = xtool(*compare, "--limit", "3", *asked, "--json", "--out", "run")
    assert done.returncode == 0, done.stderr
    seeing, blind = json.loads(done.stdout)["rows"]
    assert {seeing[name] for name in names} == {1.0}
    assert {blind[name] for name in names} == {0.0}
