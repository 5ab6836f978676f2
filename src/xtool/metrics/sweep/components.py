"""Step 4: hills joined to components at each threshold."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from xtool.metrics.sweep.hills import Hills, climb
from xtool.metrics.sweep.slopes import Slopes
from xtool.metrics.sweep.types import NEVER, Index, Ints, Levels

__all__ = ["CHUNK", "Components", "find_components"]

CHUNK = 1 << 20
"""Hill × threshold entries worked on at once. Noise has a hill every few pixels; this bounds its memory to ~100 MB."""


class Components(NamedTuple):
    """Components of all thresholds, by threshold and then in raster order of their first pixels."""

    boxes: Ints
    """[M, 4] half-open ``(x0, y0, x1, y1)``."""
    threshold_index: Ints
    areas: Ints


def find_components(levels: Levels, stride: int, thresholds: int, min_area: float) -> Components:
    """Components larger than ``min_area`` pixels at each threshold, from flat framed levels."""
    slopes = Slopes.of(levels, stride)
    hill, hills = climb(slopes)
    if thresholds > 1 and max(hills, len(slopes.pass_level)) * thresholds > CHUNK:
        half = thresholds // 2
        low = find_components(np.minimum(levels, half), stride, half, min_area)
        high = find_components(np.maximum(levels, half) - np.int16(half), stride, thresholds - half, min_area)
        return Components(
            np.concatenate((low.boxes, high.boxes)),
            np.concatenate((low.threshold_index, high.threshold_index + half)),
            np.concatenate((low.areas, high.areas)),
        )
    return _joined(Hills.of(levels, stride, slopes, hill, (thresholds, hills)), slopes, stride, min_area)


def _joined(hills: Hills, slopes: Slopes, stride: int, min_area: float) -> Components:
    """Join hills at each threshold where a pass connects them; one node per threshold and hill, in this order."""
    thresholds, count = hills.area.shape
    threshold = _below(hills.pass_level)
    a, b = (threshold * count + np.repeat(side, hills.pass_level) for side in (hills.pass_from, hills.pass_to))
    graph = coo_array((np.ones(len(a), np.int8), (a, b)), shape=(hills.area.size, hills.area.size))
    total, component = connected_components(graph, directed=False)

    def gather(choose: np.ufunc, table: Ints) -> Ints:
        result = np.full(total, NEVER if choose is np.minimum else 0, np.int64)
        choose.at(result, component, table.ravel())
        return result

    area = gather(np.add, hills.area)
    kept = np.flatnonzero((area > min_area) & (area > 0))
    first = gather(np.minimum, hills.first)[kept]
    top, bottom = slopes.start[first] // stride, slopes.start[gather(np.maximum, hills.last)[kept]] // stride + 1
    left, right = gather(np.minimum, hills.left)[kept], gather(np.maximum, hills.right)[kept]

    index = np.zeros(total, np.int64)
    index[component] = np.repeat(np.arange(thresholds), count)
    order = np.lexsort((first, index[kept]))
    boxes = np.stack((left, top, right, bottom), axis=1)
    return Components(boxes[order], index[kept][order], area[kept][order])


def _below(levels: Index) -> Index:
    """``0, 1, …, level - 1`` for each level, one after the other."""
    ends = np.cumsum(levels)
    return np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - levels, levels)
