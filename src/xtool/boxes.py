"""Heat map -> boxes, for a whole sweep of thresholds at once.

At threshold ``t`` the foreground is ``map > t * max(map)``, strictly; its 4-connected components larger than a share
of the image become boxes (the rule of the VL-Score article's code). Labelling every threshold on its own reads the
map a hundred times; here it is read once:

1. *Levels.* Each pixel gets the number of thresholds that it passes, by exactly that strict comparison.
2. *Slopes.* Each row is cut where its levels stop falling and start to rise. Inside such a slope the levels have one
   summit, so that at any threshold its foreground is one interval: it can be summed up by its summit.
3. *Passes.* Two slopes that touch are connected at the thresholds below their pass, the highest level at which one
   can step from one to the other.
4. *Hills.* A slope whose pass to a higher neighbour is as high as its own summit never stands alone: it is part of
   that neighbour's hill. A smooth map has thousands of slopes and a handful of hills.
5. *Components* of hill × threshold, by ``scipy.sparse.csgraph``, on this small graph.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

__all__ = ["MIN_AREA_FRACTION", "BoxSweep", "box_sweep", "largest"]

MIN_AREA_FRACTION = 1e-3
"""Components of at most this share of the image are dropped (VL-Score's code)."""

# Hill x threshold entries worked on at once. Noise has a hill every few pixels; this bounds its memory to ~100 MB.
CHUNK = 1 << 20

# Pixels worked on at once: temporaries of this size stay in the cache.
BLOCK = 1 << 15
TINY = float(np.finfo(np.float32).tiny)

Ints = NDArray[np.int64]
Levels = NDArray[np.int16]
NEVER = np.iinfo(np.int64).max
Index = NDArray[np.intp]
NOTHING: Index = np.zeros(0, np.intp)


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
    levels = _levels(heat, fractions.astype(heat.dtype) * top)
    return _sweep(levels, heat.shape[1] + 1, len(fractions), heat.size * min_area_fraction)


def largest(sweep: BoxSweep, index: int) -> Ints:
    """[1, 4] box of the largest component at one threshold (the first of equals), [0, 4] where there is none."""
    rows = sweep.rows(index)
    best = int(sweep.areas[rows].argmax()) if rows.stop > rows.start else 0
    return sweep.boxes[rows][best : best + 1]


def _sweep(levels: Levels, stride: int, thresholds: int, min_area: float) -> BoxSweep:
    slopes = _Slopes.of(levels, stride)
    hill, hills = _climb(slopes)
    if thresholds > 1 and max(hills, len(slopes.pass_level)) * thresholds > CHUNK:
        half = thresholds // 2
        low = _sweep(np.minimum(levels, half), stride, half, min_area)
        high = _sweep(np.maximum(levels, half) - np.int16(half), stride, thresholds - half, min_area)
        return BoxSweep(
            np.concatenate((low.boxes, high.boxes)),
            np.concatenate((low.threshold_index, high.threshold_index + half)),
            np.concatenate((low.areas, high.areas)),
            thresholds,
        )
    return _components(_Hills.of(levels, stride, slopes, hill, (thresholds, hills)), slopes, stride, min_area)


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


def _levels(heat: NDArray[Any], edges: NDArray[Any]) -> Levels:
    """For each pixel the number of ``edges`` strictly below it, flat, with a 0 before each row and one at the end."""
    rows, columns = heat.shape
    flat = np.zeros(rows * (columns + 1) + 1, np.int16)
    framed = flat[:-1].reshape(rows, columns + 1)[:, 1:]
    count = _EdgeCount(edges, heat.max())
    step = max(1, BLOCK // columns)
    for row in range(0, rows, step):
        framed[row : row + step] = count(heat[row : row + step])
    return flat


class _EdgeCount:
    """``np.searchsorted(edges, values)`` for values up to ``top``, without its binary search (7 times faster).

    The bucket of a value, a monotonic function of it, tells all edges except those in the same bucket, and these are
    compared one by one: exact for any width of the buckets.
    """

    def __init__(self, edges: NDArray[Any], top: Any) -> None:
        buckets = min(4 * len(edges), 2**15 - 2)
        self.factor = edges.dtype.type(buckets / max(float(top), TINY))
        own = self._bucket(edges)
        self.below = np.searchsorted(own, np.arange(buckets + 2)).astype(np.int16)
        shared = np.bincount(own, minlength=buckets + 2)
        self.contested: list[NDArray[Any]] = []
        for nth in range(int(shared.max())):
            rank = np.minimum(self.below + nth, len(edges) - 1)
            self.contested.append(np.where(shared > nth, edges[rank], np.inf).astype(edges.dtype))

    def __call__(self, values: NDArray[Any]) -> Levels:
        bucket = self._bucket(values)
        count: Levels = self.below.take(bucket, mode="clip")
        for edge in self.contested:
            count += values > edge.take(bucket, mode="clip")
        return count

    def _bucket(self, values: NDArray[Any]) -> Levels:
        scaled = values * self.factor
        bucket: Levels = np.maximum(scaled, 0, out=scaled).astype(np.int16)
        return bucket


class _Changes(NamedTuple):
    """Every change of level along some rows, left to right, top to bottom."""

    at: Index
    before: Index
    after: Index

    @classmethod
    def of(cls, levels: Levels, start: int, stop: int) -> _Changes:
        """The changes at positions ``start < p <= stop``, both in the frame."""
        left = np.flatnonzero(levels[start + 1 : stop + 1] != levels[start:stop]) + start
        return cls(left + 1, levels[left].astype(np.intp), levels[left + 1].astype(np.intp))

    def slope_begins(self) -> Index:
        """Which changes begin a slope: each first rise after a fall. A row ends in a 0, so that no slope goes on."""
        rising = self.after > self.before
        begins = rising.copy()
        begins[1:] &= ~rising[:-1]
        return np.flatnonzero(begins)


@dataclass(frozen=True, slots=True)
class _Slopes:
    """Stretches of rows with one summit each, in raster order, and the passes between them."""

    start: Index
    """[S] position of the first pixel of each."""
    summit: Index
    """[S] highest level."""
    changes: Index
    """[S] number of changes of level; all changes in raster order belong to the slopes in order."""
    cut: Index
    """[C] slopes that start above level 0, where the slope before ends at ``cut_level``."""
    cut_level: Index
    pass_from: Index
    pass_to: Index
    pass_level: Index
    """[P] two slopes that touch, and the highest level at which they do."""

    @classmethod
    def of(cls, levels: Levels, stride: int) -> _Slopes:
        starts, summits, counts, depths = [NOTHING], [NOTHING], [NOTHING], [NOTHING]
        for start, stop in _blocks(levels, stride):
            changes = _Changes.of(levels, start, stop)
            if len(changes.at):
                begins = changes.slope_begins()
                starts.append(changes.at[begins])
                depths.append(changes.before[begins])
                summits.append(np.maximum.reduceat(changes.after, begins))
                counts.append(np.diff(begins, append=len(changes.at)))
        start_at, depth = np.concatenate(starts), np.concatenate(depths)
        cut = np.flatnonzero(depth)
        beside = (cut - 1, cut, depth[cut])
        passes = [np.concatenate(pair) for pair in zip(beside, _steps_down(levels, start_at, stride), strict=True)]
        return cls(start_at, np.concatenate(summits), np.concatenate(counts), cut, depth[cut], *passes)


def _blocks(levels: Levels, stride: int) -> Iterator[tuple[int, int]]:
    """Positions (start, stop), both in the frame, of blocks of whole rows."""
    step = max(1, BLOCK // stride) * stride
    for start in range(0, len(levels) - 1, step):
        yield start, min(start + step, len(levels) - 1)


def _steps_down(levels: Levels, starts: Index, stride: int) -> tuple[Index, Index, Index]:
    """Slopes above each other (upper, lower) and the highest level at which one can step down."""
    step = np.minimum(levels[:-stride], levels[stride:])
    cuts = np.unique(np.concatenate((starts, starts - stride)))
    cuts = cuts[(cuts >= 0) & (cuts < len(step))]
    if not len(cuts):
        return NOTHING, NOTHING, NOTHING
    upper = np.searchsorted(starts, cuts, "right") - 1
    lower = np.searchsorted(starts, cuts + stride, "right") - 1
    level = np.maximum.reduceat(step, cuts).astype(np.intp)
    real = np.flatnonzero(level)
    return upper[real], lower[real], level[real]


def _climb(slopes: _Slopes) -> tuple[Index, int]:
    """The hill of each slope, and how many hills there are."""
    count = len(slopes.summit)
    # Summits in order of level, ties by number: "higher" must not run in circles.
    order = slopes.summit * count + np.arange(count)
    parent = np.arange(count)
    for low, high in ((slopes.pass_from, slopes.pass_to), (slopes.pass_to, slopes.pass_from)):
        climbs = (slopes.pass_level == slopes.summit[low]) & (order[high] > order[low])
        parent[low[climbs]] = high[climbs]
    while not np.array_equal(parent, further := parent[parent]):
        parent = further
    tops, hill = np.unique(parent, return_inverse=True)
    return hill, len(tops)


@dataclass(frozen=True, slots=True)
class _Hills:
    """[thresholds, hills] tables of what each hill covers at each threshold, and the passes between hills."""

    area: Ints
    left: Ints
    right: Ints
    first: Ints
    last: Ints
    """The first and the last slope."""
    pass_from: Index
    pass_to: Index
    pass_level: Index

    @classmethod
    def of(cls, levels: Levels, stride: int, slopes: _Slopes, hill: Index, table: tuple[int, int]) -> _Hills:
        thresholds, count = table
        # One row more: row n holds what reaches level n, that is, what is foreground at the thresholds below n.
        area, right, last = (np.full((thresholds + 1) * count, fill, np.int64) for fill in (0, -1, -1))
        left, first = (np.full((thresholds + 1) * count, NEVER, np.int64) for _ in range(2))

        number = np.arange(len(hill))
        top = slopes.summit * count + hill
        np.minimum.at(first, top, number)
        np.maximum.at(last, top, number)
        for hill_of_change, changes in _slope_changes(levels, stride, slopes, hill):
            reached, came_from = changes.after * count + hill_of_change, changes.before * count + hill_of_change
            # A run from p to q adds q - p to the area at the thresholds below its level: sum up to the right level.
            np.add.at(area, reached, changes.at)
            np.subtract.at(area, came_from, changes.at)
            rise, fall = (np.flatnonzero(side) for side in (reached > came_from, reached < came_from))
            column = (changes.at - 1) % stride
            np.minimum.at(left, reached[rise], column[rise])
            np.maximum.at(right, came_from[fall], column[fall])

        between = hill[slopes.pass_from] != hill[slopes.pass_to]
        return cls(
            area.reshape(-1, count).cumsum(axis=0)[:-1],
            _reach(np.minimum, left, count),
            _reach(np.maximum, right, count),
            _reach(np.minimum, first, count),
            _reach(np.maximum, last, count),
            hill[slopes.pass_from[between]],
            hill[slopes.pass_to[between]],
            slopes.pass_level[between],
        )


def _slope_changes(levels: Levels, stride: int, slopes: _Slopes, hill: Index) -> Iterator[tuple[Index, _Changes]]:
    """All changes of level with the hill that they belong to, each slope rising from 0 and falling to 0."""
    begun = 0
    for start, stop in _blocks(levels, stride):
        changes = _Changes.of(levels, start, stop)
        begins = changes.slope_begins()
        changes.before[begins] = 0
        yield np.repeat(hill[begun : begun + len(begins)], slopes.changes[begun : begun + len(begins)]), changes
        begun += len(begins)
    yield hill[slopes.cut - 1], _Changes(slopes.start[slopes.cut], slopes.cut_level, np.zeros_like(slopes.cut))


def _reach(choose: np.ufunc, at_level: Ints, count: int) -> Ints:
    """The extreme among all that is foreground at each threshold, [thresholds, hills]."""
    reached: Ints = choose.accumulate(at_level.reshape(-1, count)[::-1], axis=0)[::-1][1:]
    return reached


def _components(hills: _Hills, slopes: _Slopes, stride: int, min_area: float) -> BoxSweep:
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
    return BoxSweep(boxes[order], index[kept][order], area[kept][order], thresholds)


def _below(levels: Index) -> Index:
    """``0, 1, …, level - 1`` for each level, one after the other."""
    ends = np.cumsum(levels)
    return np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - levels, levels)
