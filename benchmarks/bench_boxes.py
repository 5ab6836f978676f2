"""Boxes for 100 thresholds of a 500x375 map: at most 5 ms on one core. ``pytest benchmarks/bench_boxes.py``"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from xtool.image.geometry import Geometry
from xtool.metrics.boxes import box_sweep

THRESHOLDS = np.linspace(0.0, 0.99, 100)
GEOMETRY = Geometry.of((500, 375), (224, 224))


def smooth(cells: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The worst kind of map of this resolution: every cell of its own height."""
    low = np.random.default_rng(0).random((cells, cells))
    return GEOMETRY.map_to_image((low - low.min()) / (low.max() - low.min()))


@pytest.mark.parametrize("cells", [4, 7, 14])
def test_box_sweep_of_a_smooth_map(benchmark: Any, cells: int) -> None:
    sweep = benchmark(box_sweep, smooth(cells), THRESHOLDS)
    assert len(sweep) == 100


def test_box_sweep_of_noise(benchmark: Any) -> None:
    heat = np.random.default_rng(0).random((375, 500), np.float32)
    assert len(benchmark.pedantic(box_sweep, (heat, THRESHOLDS), rounds=2)) == 100


def test_map_to_image(benchmark: Any) -> None:
    low = np.random.default_rng(0).random((7, 7), np.float32)
    assert benchmark(GEOMETRY.map_to_image, low).shape == (375, 500)
