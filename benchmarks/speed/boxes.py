"""Boxes: a sweep of 100 thresholds over one map of 500×375 pixels

One core. A smooth map is random numbers on a grid of so many cells, brought to the image as every method's map is;
noise is the worst map there can be: each pixel a component of its own.
"""

from __future__ import annotations

import numpy as np

from benchmarks.speed.plan import Plan
from benchmarks.speed.tables import Table
from benchmarks.speed.timing import seconds
from xtool.image.geometry import Geometry
from xtool.metrics.boxes import box_sweep

THRESHOLDS = np.linspace(0.0, 0.99, 100)
GEOMETRY = Geometry.of((500, 375), (224, 224))


def run(plan: Plan) -> None:
    row = Table("map", "ms", "boxes")
    random = np.random.default_rng(0)
    for cells in (4, 7, 14):
        low = random.random((cells, cells), np.float32)
        _measure(row, f"{cells}×{cells} cells", GEOMETRY.map_to_image(low), plan)
    _measure(row, "noise", random.random((375, 500), np.float32), plan)


def _measure(row: Table, name: str, heat: np.ndarray, plan: Plan) -> None:
    found = len(box_sweep(heat, THRESHOLDS).boxes)
    row(name, 1000 * seconds(lambda: box_sweep(heat, THRESHOLDS), plan.rounds), f"{found:,}")
