"""Components of a map at all thresholds at once, by its component tree (max-tree).

The components of ``map > t`` only grow and join as ``t`` falls: together they form a tree whose leaves are the map's
regional maxima (Salembier, Oliveras, Garrido, Antiextensive Connected Operators for Image and Sequence Processing, IEEE
TIP 1998). As in Najman, Couprie, Building the Component Tree in Quasi-Linear Time, IEEE TIP 2006, it is built from the
top down by union-find. There every pixel is a node; here first all pixels that surely belong together are one node,
found with NumPy, so that the loop of the union-find runs over a handful of nodes:

1. :mod:`xtool.metrics.levels` counts the thresholds that each pixel passes, its *level*.
2. Rows are cut into *segments* wherever the level, having fallen, rises again. A segment has a single peak, so at
   any threshold its foreground is one interval. Two segments that touch are connected at the thresholds below their
   *saddle*, the highest level at which one can step from one to the other.
3. A segment whose saddle with a higher one is as high as its own peak is never a component without it. Such
   segments together are a *branch*: a smooth map has thousands of segments and few branches.
4. Branches are joined from the highest saddle to the lowest: at the thresholds below it one of the two takes over what
   the other covers, at those above each is a component of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xtool.metrics.levels import Levels

__all__ = ["Components", "find_components"]

Ints = NDArray[np.int64]
Reach = NDArray[np.int32]

MAX_CELLS = 1 << 21
"""Branches × thresholds held at once. Noise has a branch every few pixels; this bounds its memory to ~100 MB."""

UNREACHED = np.iinfo(np.int32).min


class Components(NamedTuple):
    """Components of all thresholds, by threshold and then in raster order of their first pixels."""

    boxes: Ints
    """[M, 4] half-open ``(x0, y0, x1, y1)``."""
    threshold_index: Ints
    areas: Ints
    """[M] in pixels."""


class Saddles(NamedTuple):
    """[P] pairs of nodes that touch, and the highest level at which they do."""

    one: Ints
    other: Ints
    level: Ints


@dataclass(frozen=True, slots=True)
class Segments:
    """Stretches of rows with one peak each, in raster order."""

    start: Ints
    """[S] position of the first pixel."""
    peak: Ints
    """[S] highest level."""
    saddles: Saddles
    runs: Ints
    """[S] number of runs, stretches of one level: their levels rise to the peak, then fall."""
    run_start: Ints
    """[R] position before the first pixel of each run; runs of all segments in order."""
    run_level: Levels
    run_rises: NDArray[np.bool_]
    """[R] whether the level before the run is lower."""


def find_components(levels: Levels, stride: int, thresholds: int, min_area: float) -> Components:
    """Components larger than ``min_area`` pixels at each threshold, from the flat levels of :mod:`.levels`."""
    segments = _segments(levels, stride)
    branch, count = _branches(segments)
    if not count:
        none = np.zeros(0, np.int64)
        return Components(none.reshape(0, 4), none, none)
    if thresholds > 1 and count * thresholds > MAX_CELLS:
        half = thresholds // 2
        low = find_components(np.minimum(levels, half), stride, half, min_area)
        high = find_components(np.maximum(levels, half) - np.int16(half), stride, thresholds - half, min_area)
        return Components(
            np.concatenate((low.boxes, high.boxes)),
            np.concatenate((low.threshold_index, high.threshold_index + half)),
            np.concatenate((low.areas, high.areas)),
        )
    area, reach = _cover(segments, branch, count, stride, thresholds)
    alone_from = _join(area, reach, _between_branches(segments.saddles, branch, count))
    return _listed(area, reach, alone_from, segments.start, stride, min_area)


def _segments(levels: Levels, stride: int) -> Segments:
    at = np.flatnonzero(levels[1:] != levels[:-1])
    before, after = levels[at], levels[at + 1]
    rises = after > before
    begins = rises.copy()
    begins[1:] &= ~rises[:-1]  # a rise after a fall; each row starts from level 0, and so do its segments
    first = np.flatnonzero(begins)
    start = at[first] + 1
    valley = before[first].astype(np.int64)
    cut = np.flatnonzero(valley)  # these segments begin above level 0, next to the one before
    beside = Saddles(cut - 1, cut, valley[cut])
    below = _saddles_between_rows(levels, start, stride)
    return Segments(
        start=start,
        peak=np.maximum.reduceat(after, first).astype(np.int64) if len(first) else start,
        saddles=Saddles(*(np.concatenate(pair) for pair in zip(beside, below, strict=True))),
        runs=np.diff(first, append=len(at)),
        run_start=at,
        run_level=after,
        run_rises=rises,
    )


def _saddles_between_rows(levels: Levels, start: Ints, stride: int) -> Saddles:
    step_down = np.minimum(levels[:-stride], levels[stride:])
    # Between two cuts both the upper and the lower segment stay the same. A cut that occurs twice does no harm:
    # reduceat then gives the step at the cut itself, which is one of them.
    cuts = np.sort(np.concatenate((start, start - stride)))
    cuts = cuts[(cuts >= 0) & (cuts < len(step_down))]
    if not len(cuts):
        return Saddles(cuts, cuts, cuts)
    level = np.maximum.reduceat(step_down, cuts).astype(np.int64)
    touching = np.flatnonzero(level)
    upper = np.searchsorted(start, cuts[touching], "right") - 1
    lower = np.searchsorted(start, cuts[touching] + stride, "right") - 1
    return Saddles(upper, lower, level[touching])


def _branches(segments: Segments) -> tuple[Ints, int]:
    """[S] the branch of each segment, and how many branches there are."""
    count = len(segments.start)
    order = segments.peak * count + np.arange(count)  # equal peaks by number: "higher" must not run in circles
    parent = np.arange(count)
    one, other, level = segments.saddles
    for low, high in ((one, other), (other, one)):
        climbs = (level == segments.peak[low]) & (order[high] > order[low])
        parent[low[climbs]] = high[climbs]
    while not np.array_equal(parent, further := parent[parent]):
        parent = further
    tops, branch = np.unique(parent, return_inverse=True)
    return branch, len(tops)


def _cover(segments: Segments, branch: Ints, count: int, stride: int, thresholds: int) -> tuple[Ints, Reach]:
    """What each branch covers at each threshold: its area [B, T] and its reach [B, T, 4].

    Reach is ``(-left, right, -first, last)`` with the first and last segment: its maximum joins two branches.
    """
    # Level n is foreground at the thresholds below n, so that column n holds what is added below threshold n.
    width = thresholds + 1
    cell = np.repeat(branch * width, segments.runs) + segments.run_level
    at = segments.run_start
    area = np.bincount(cell[:-1], np.diff(at), minlength=count * width)  # the last run is of level 0
    reach = np.full((4, count * width), UNREACHED, np.int32)
    # At any threshold the foreground of a segment begins where a run rises, and ends where one falls.
    row = (segments.start - 1) // stride * stride
    column = (at - np.repeat(row, segments.runs)).astype(np.int32)
    rises, falls = np.flatnonzero(segments.run_rises), np.flatnonzero(~segments.run_rises)
    np.maximum.at(reach[0], cell[rises], -column[rises])
    np.maximum.at(reach[1], cell[falls - 1], column[falls])
    peak, number = branch * width + segments.peak, np.arange(len(branch), dtype=np.int32)
    np.maximum.at(reach[2], peak, -number)
    np.maximum.at(reach[3], peak, number)
    area = area.astype(np.int64).reshape(count, width)[:, :0:-1].cumsum(axis=1)[:, ::-1]
    reach = np.maximum.accumulate(reach.reshape(4, count, width)[:, :, :0:-1], axis=2)[:, :, ::-1]
    return area, np.ascontiguousarray(reach.transpose(1, 2, 0))


def _between_branches(saddles: Saddles, branch: Ints, count: int) -> Saddles:
    """The saddles of branches that touch, each pair's highest alone, from the highest to the lowest."""
    one, other, level = branch[saddles.one], branch[saddles.other], saddles.level
    real = one != other
    one, other, level = one[real], other[real], level[real]
    pair = np.minimum(one, other) * count + np.maximum(one, other)
    order = np.lexsort((-level, pair))
    order = order[np.diff(pair[order], prepend=-1) != 0]  # the highest of each pair: they touch in many rows
    order = order[np.argsort(-level[order], kind="stable")]
    return Saddles(one[order], other[order], level[order])


def _join(area: Ints, reach: Reach, saddles: Saddles) -> Ints:
    """Let branches take over others, in place; returns [B] the threshold from which each is a component by itself."""
    alone_from = np.zeros(len(area), np.int64)
    parent = list(range(len(area)))
    for one, other, level in zip(*(column.tolist() for column in saddles), strict=True):
        kept, joined = _root(parent, one), _root(parent, other)
        if kept == joined:  # connected above this saddle already
            continue
        parent[joined] = kept
        alone_from[joined] = level
        area[kept, :level] += area[joined, :level]
        np.maximum(reach[kept, :level], reach[joined, :level], out=reach[kept, :level])
    return alone_from


def _root(parent: list[int], node: int) -> int:
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node


def _listed(area: Ints, reach: Reach, alone_from: Ints, start: Ints, stride: int, min_area: float) -> Components:
    thresholds = np.arange(area.shape[1])
    component = (thresholds >= alone_from[:, None]) & (area > max(min_area, 0))
    threshold, branch = np.nonzero(component.T)
    left, right, first, last = (reach[branch, threshold] * (-1, 1, -1, 1)).T
    order = np.lexsort((first, threshold))
    boxes = np.stack((left, (start[first] - 1) // stride, right, (start[last] - 1) // stride + 1), axis=1)
    return Components(boxes[order].astype(np.int64), threshold[order], area[branch, threshold][order])
