"""How many thresholds each pixel of a map passes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Levels", "count_levels"]

Levels = NDArray[np.int16]

BLOCK = 1 << 15
"""Pixels worked on at once: temporaries of this size stay in the processor's cache."""
BUCKETS = 1 << 13
"""One pixel in a hundred shares one with an edge where there are 100 edges; more buckets take longer to make."""
OPEN = -1
"""In place of a count: a bucket that alone does not tell it."""


def count_levels(heat: NDArray[Any], edges: NDArray[Any]) -> Levels:
    """For each pixel the number of ``edges`` strictly below it, flat, with a 0 before each row and one at the end.

    Position ``row * (columns + 1) + column + 1`` is a pixel. The zeros keep rows apart: no run of pixels reaches from
    one into the next.

    Args:
        heat: [H, W] with a positive maximum.
        edges: ascending, not negative and below the maximum, in the map's precision.
    """
    rows, columns = heat.shape
    flat = np.zeros(rows * (columns + 1) + 1, np.int16)
    framed = flat[:-1].reshape(rows, columns + 1)[:, 1:]
    count = _EdgeCount(edges, heat.max())
    step = max(1, BLOCK // columns)
    for row in range(0, rows, step):
        framed[row : row + step] = count(heat[row : row + step])
    return flat


class _EdgeCount:
    """``np.searchsorted(edges, values)`` for values in [0, top], mostly without its binary search (4 times faster).

    The bucket of a value, a monotonic function of it, tells the number of edges below it unless there is an edge in
    the same bucket. Only values in such buckets are searched for: exact for any width of the buckets.
    """

    def __init__(self, edges: NDArray[Any], top: Any) -> None:
        self.edges = edges
        # At a maximum close to the smallest number there is, buckets get coarser: finite beats fine.
        self.factor = edges.dtype.type(min(BUCKETS / float(top), float(np.finfo(edges.dtype).max)))
        own = self._bucket(edges)
        self.below = np.bincount(own, minlength=BUCKETS + 2).cumsum().astype(np.int16)
        self.below[own] = OPEN

    def __call__(self, values: NDArray[Any]) -> Levels:
        count: Levels = self.below.take(self._bucket(values), mode="clip")
        unknown = count == OPEN
        if unknown.any():
            count[unknown] = np.searchsorted(self.edges, values[unknown])
        return count

    def _bucket(self, values: NDArray[Any]) -> Levels:
        bucket: Levels = (values * self.factor).astype(np.int16)
        return bucket
