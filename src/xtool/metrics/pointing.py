"""The pointing game (Zhang et al., Top-down Neural Attention by Excitation Backprop, ECCV 2016)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xtool.metrics.metric import Floats, Metric, MetricInfo

if TYPE_CHECKING:
    from xtool.metrics.case import Case
    from xtool.metrics.results import Results

__all__ = ["TOLERANCE", "Pointing", "points_at_box", "points_at_mask"]

TOLERANCE = 15.0
"""The paper's margin in image pixels."""


class Pointing(Metric):
    """The pointing game without a margin."""

    info = MetricInfo(
        name="pointing",
        title="pointing",
        narrow="point-\ning",
        unit="fraction",
        direction="higher",
        summary="The map's maximum is on the object.",
        paper="Zhang et al., Top-down Neural Attention by Excitation Backprop, ECCV 2016",
    )

    shape = ()

    def measure(self, case: Case) -> bool:
        return points_at_box(case.target.image_map.full, case.sample.boxes)

    def per_image(self, results: Results) -> Floats | None:
        return results.numbers(self.info.name)


def points_at_box(full: NDArray[Any], boxes: ArrayLike, tolerance: float = 0.0) -> bool:
    """Whether a map [height, width] points at any half-open box [M, 4]: at a pixel whose centre is in the box.

    It points at the pixel of its maximum, the first of equals in raster order, and with a tolerance at all pixels
    less than ``tolerance`` pixels away from that one, centre to centre, as the disc that the published evaluation code
    draws around it. A constant or not finite map points nowhere.
    """
    peak = _peak(full)
    if peak is None:
        return False
    height, width = full.shape
    targets = np.asarray(boxes, np.float64).reshape(-1, 4)
    # Of each box: its first and last pixel, (column, row), within the image.
    first = np.maximum(np.ceil(targets[:, :2] - 0.5), 0)
    last = np.minimum(np.ceil(targets[:, 2:] - 0.5), (width, height)) - 1
    first, last = (corners[(first <= last).all(axis=1)] for corners in (first, last))
    return _within(np.clip(peak, first, last) - peak, tolerance)


def points_at_mask(full: NDArray[Any], mask: NDArray[np.bool_], tolerance: float = 0.0) -> bool:
    """The same for the pixels of a true mask [height, width]."""
    peak = _peak(full)
    if peak is None:
        return False
    y, x = np.nonzero(mask)
    return _within(np.stack((x, y), axis=1) - peak, tolerance)


def _within(offsets: NDArray[Any], tolerance: float) -> bool:
    """Whether any of the offsets [N, 2] is that of a pixel of the disc; the peak itself always is."""
    squares = (offsets**2).sum(axis=1)
    return bool(((squares == 0) | (squares < tolerance**2)).any())


def _peak(full: NDArray[Any]) -> NDArray[np.int64] | None:
    """[2] column and row of the maximum."""
    first = int(full.argmax())  # of NaN, where there is any
    high, low = float(full.flat[first]), float(full.min())
    if not (math.isfinite(high) and math.isfinite(low)) or high == low:
        return None
    row, column = divmod(first, full.shape[1])
    return np.array((column, row))
