"""Rules for boxes, against values worked out by hand and brute force."""

from __future__ import annotations

import numpy as np
import pytest

from xtool.errors import UsageError
from xtool.metrics.box_rules import box_rule, otsu_threshold, search_box


def blob(height: int = 20, width: int = 30) -> np.ndarray:
    """0.1 everywhere, 0.5 in a large rectangle, 1.0 in a small one inside it."""
    heat = np.full((height, width), 0.1, np.float32)
    heat[4:14, 6:22] = 0.5
    heat[6:10, 8:12] = 1.0
    return heat


@pytest.mark.parametrize(
    ("rule", "box"),
    [
        ("0.6", [8, 6, 12, 10]),
        ("max-fraction=0.4", [6, 4, 22, 14]),
        # Of 600 pixels 160 lie in the large rectangle and 16 in the small one: 97.33 % are below 1.
        ("quantile=0.9", [8, 6, 12, 10]),
        ("quantile=0.7", [6, 4, 22, 14]),
        # The mean is (440 · 0.1 + 144 · 0.5 + 16) / 600 = 0.22.
        ("mean", [6, 4, 22, 14]),
    ],
)
def test_a_rule_gives_the_box_worked_out_by_hand(rule: str, box: list[int]) -> None:
    assert box_rule(rule)(blob()).tolist() == [box]


def test_otsu_parts_two_groups_of_values_between_them() -> None:
    values = np.array([[0.1, 0.12, 0.14, 0.8], [0.1, 0.13, 0.85, 0.9]], np.float32)
    assert 0.14 <= otsu_threshold(values) < 0.8
    assert box_rule("otsu")(blob()).shape[1] == 4


def test_otsu_is_the_best_of_all_cuts_by_brute_force() -> None:
    heat = np.random.default_rng(0).beta(0.5, 2, (17, 23)).astype(np.float32)

    def between(cut: float) -> float:
        low, high = heat[heat <= cut], heat[heat > cut]
        return low.size * high.size * (low.mean() - high.mean()) ** 2 if low.size and high.size else 0.0

    best = max(between(cut) for cut in np.unique(heat))
    assert between(otsu_threshold(heat)) == pytest.approx(best, rel=0.01)  # of 256 bins


def test_the_searched_box_is_the_best_of_all_boxes_by_brute_force() -> None:
    heat = np.random.default_rng(1).random((9, 12)).astype(np.float32) ** 6
    total = heat.sum()

    def value(x0: int, y0: int, x1: int, y1: int) -> float:
        return float(heat[y0:y1, x0:x1].sum() / total - 0.8 * (x1 - x0) * (y1 - y0) / heat.size)

    boxes = [
        (x0, y0, x1, y1)
        for y0 in range(9) for y1 in range(y0 + 1, 10) for x0 in range(12) for x1 in range(x0 + 1, 13)
    ]  # fmt: skip
    assert tuple(search_box(heat)[0].tolist()) == max(boxes, key=lambda box: value(*box))


def test_the_searched_box_finds_a_rectangle_to_the_pixel_in_a_large_map() -> None:
    heat = np.zeros((211, 333), np.float32)
    heat[37:101, 45:222] = 1
    assert search_box(heat).tolist() == [[45, 37, 222, 101]]


@pytest.mark.parametrize("rule", ["0.5", "quantile", "mean", "otsu", "search"])
@pytest.mark.parametrize("heat", [np.zeros((5, 7), np.float32), np.full((5, 7), np.nan, np.float32)])
def test_a_map_that_says_nothing_has_no_box(rule: str, heat: np.ndarray) -> None:
    assert box_rule(rule)(heat).shape == (0, 4)


@pytest.mark.parametrize("text", ["median", "quantile=1", "otsu=3", "quantile=x", "1.2", "-0.1", ""])
def test_a_rule_that_makes_no_sense_is_refused_in_words(text: str) -> None:
    with pytest.raises(UsageError):
        box_rule(text)
