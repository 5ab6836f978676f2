"""Heat map -> boxes, for a whole sweep of thresholds at once.

At threshold ``t`` the foreground is ``map > t * max(map)``, strictly; its 4-connected components larger than a share
of the image become boxes (the rule of the VL-Score article's code). Labelling every threshold on its own reads the
map a hundred times; here it is read once, into its component tree (:mod:`xtool.metrics.component_tree`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xtool.metrics.component_tree import find_components
from xtool.metrics.levels import count_levels

__all__ = ["MIN_AREA_FRACTION", "BoxSweep", "box_sweep", "largest"]

MIN_AREA_FRACTION = 1e-3
"""Components of at most this share of the image are dropped (VL-Score's code)."""

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class BoxSweep:
    """Boxes of one map at N thresholds, one row per component, by threshold and then in raster order."""

    boxes: Ints
    """[M, 4] half-open ``(x0, y0, x1, y1)`` in pixels of the map."""
    threshold_index: Ints
    """[M], ascending: the threshold that the row belongs to."""
    areas: Ints
    """[M] pixels in the component (not in the box)."""
    thresholds: int
    """N."""

    def __len__(self) -> int:
        return self.thresholds

    def at(self, index: int) -> Ints:
        """[K, 4] boxes at the threshold of this index, in raster order of their first pixels."""
        return self.boxes[self.rows(index)]

    def rows(self, index: int) -> slice:
        """Which rows belong to the threshold of this index. Raises :class:`IndexError` out of range."""
        if not 0 <= index < self.thresholds:
            raise IndexError(f"threshold {index} of {self.thresholds}")
        start, stop = np.searchsorted(self.threshold_index, (index, index + 1)).tolist()
        return slice(start, stop)


def box_sweep(heat: NDArray[Any], thresholds: ArrayLike, min_area_fraction: float = MIN_AREA_FRACTION) -> BoxSweep:
    """Boxes of a heat map [H, W] at N ascending thresholds, fractions of its maximum in [0, 1).

    A map that is constant, has no positive value, or has a value that is NaN or infinite gives no box at all.
    Thresholds times maximum are taken in the map's own precision. Raises :class:`ValueError` for a map that is not
    two-dimensional, or thresholds that are not ascending in [0, 1).
    """
    heat = _float_map(heat)
    fractions = _ascending(thresholds)
    top = heat.max()
    bottom = heat.min()
    if not (np.isfinite(top) and np.isfinite(bottom) and top > 0 and top > bottom):
        return _no_boxes(len(fractions))
    positive = heat if bottom >= 0 else np.maximum(heat, 0)  # no threshold is below 0
    levels = count_levels(positive, fractions.astype(heat.dtype) * top)
    found = find_components(levels, heat.shape[1] + 1, len(fractions), heat.size * min_area_fraction)
    return BoxSweep(*found, len(fractions))


def largest(sweep: BoxSweep, index: int) -> Ints:
    """[1, 4] box of the largest component at one threshold (the first of equals), [0, 4] where there is none."""
    rows = sweep.rows(index)
    best = int(sweep.areas[rows].argmax()) if rows.stop > rows.start else 0
    return sweep.boxes[rows][best : best + 1]


def _no_boxes(count: int) -> BoxSweep:
    none = np.zeros(0, np.int64)
    return BoxSweep(np.zeros((0, 4), np.int64), none, none, count)


def _float_map(heat: NDArray[Any]) -> NDArray[Any]:
    if heat.ndim != 2 or heat.size == 0:
        raise ValueError(f"a heat map is [H, W] and not empty, got shape {heat.shape}")
    exact = heat.dtype in (np.float32, np.float64)
    return np.ascontiguousarray(heat) if exact else heat.astype(np.float64)


def _ascending(thresholds: ArrayLike) -> NDArray[np.float64]:
    fractions = np.atleast_1d(np.asarray(thresholds, np.float64))
    inside = fractions.ndim == 1 and bool(((fractions >= 0) & (fractions < 1)).all())
    if not inside or bool((np.diff(fractions) < 0).any()):
        raise ValueError("thresholds are ascending fractions of the maximum in [0, 1)")
    if len(fractions) >= 2**15:
        raise ValueError(f"at most {2**15 - 1} thresholds at once, got {len(fractions)}")
    return fractions
