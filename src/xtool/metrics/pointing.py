"""The pointing game (Zhang et al., Top-down Neural Attention by Excitation Backprop, ECCV 2016)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xtool.metrics.metric import MetricInfo

__all__ = ["INFO", "TOLERANCE", "points_at_box", "points_at_mask"]

INFO = MetricInfo(
    name="pointing",
    unit="fraction",
    direction="higher",
    summary="The map's maximum lies on the object.",
    paper="Zhang et al., Top-down Neural Attention by Excitation Backprop, ECCV 2016",
)

TOLERANCE = 15.0
"""The paper's margin in image pixels; pass it to get the paper's numbers."""


def points_at_box(full: NDArray[Any], boxes: ArrayLike, tolerance: float = 0.0) -> bool:
    """Whether the maximum of a map [height, width] lies within ``tolerance`` pixels of any half-open box [M, 4].

    Among equal maxima the first in raster order points. A constant or not finite map points nowhere.
    """
    point = _peak(full)
    if point is None:
        return False
    targets = np.asarray(boxes, np.float64).reshape(-1, 4)
    centre = np.array(point) + 0.5
    gap = np.maximum(np.maximum(targets[:, :2] - centre, centre - targets[:, 2:]), 0)
    inside = (centre >= targets[:, :2]).all(axis=1) & (centre < targets[:, 2:]).all(axis=1)
    return bool((inside | ((np.hypot(*gap.T) <= tolerance) & (tolerance > 0))).any())


def points_at_mask(full: NDArray[Any], mask: NDArray[np.bool_], tolerance: float = 0.0) -> bool:
    """The same for a true mask [height, width]: some pixel of it within ``tolerance`` of the maximum."""
    point = _peak(full)
    if point is None:
        return False
    y, x = np.nonzero(mask)
    return bool((np.hypot(x - point[0], y - point[1]) <= tolerance).any())


def _peak(full: NDArray[Any]) -> tuple[int, int] | None:
    if not np.isfinite(full).all() or full.max() == full.min():
        return None
    row, column = np.unravel_index(int(full.argmax()), full.shape)
    return int(column), int(row)
