"""The energy-based pointing game against sums made by hand and pixel by pixel."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from xtool.metrics.energy import energy_inside


def test_by_hand() -> None:
    full = np.array([[0.0, 1.0, 0.5], [0.5, 1.0, 0.0]])
    assert energy_inside(full, [[1, 0, 2, 2]]) == pytest.approx(2 / 3)
    assert energy_inside(full, [[0, 0, 3, 2]]) == 1
    assert energy_inside(full, [[0, 0, 1, 1]]) == 0


def test_a_pixel_in_two_boxes_counts_once() -> None:
    assert energy_inside(np.ones((4, 4)), [[0, 0, 2, 2], [1, 1, 3, 3]]) == pytest.approx(7 / 16)


def test_a_map_that_says_nothing_has_no_energy() -> None:
    assert energy_inside(np.zeros((3, 3)), [[0, 0, 3, 3]]) == 0


def test_boxes_between_pixels_hold_those_whose_centres_they_hold() -> None:
    random = np.random.default_rng(5)
    for _ in range(100):
        full = random.random((12, 17))
        x0, y0 = random.uniform(-3, 15, 2)
        box = (x0, y0, x0 + random.uniform(0, 9), y0 + random.uniform(0, 9))
        inside = sum(
            full[y, x]
            for y in range(12)
            for x in range(17)
            if box[0] <= x + 0.5 < box[2] and box[1] <= y + 0.5 < box[3]
        )
        assert energy_inside(full, [box]) == pytest.approx(inside / full.sum())


def test_it_is_measured_on_request(xtool: Any) -> None:
    compare = ("compare", "--encoder", "planted-cnn", "--dataset", "patches", "--methods", "colourcam,everywhere")
    done = xtool(*compare, "--limit", "3", "--metric", "energy", "--json", "--out", "run")
    assert done.returncode == 0, done.stderr
    good, blind = json.loads(done.stdout)["rows"]
    assert good["energy"] > 0.6
    assert blind["energy"] == 0, "a constant map is normalised to zero"
    assert "energy" in xtool("report", "run").stdout
