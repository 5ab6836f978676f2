"""Step 2: stretches of rows with one summit each, and the passes between them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from xtool.metrics.sweep.types import BLOCK, NOTHING, Index, Levels

__all__ = ["Changes", "Slopes", "blocks"]


@dataclass(frozen=True, slots=True)
class Slopes:
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
    def of(cls, levels: Levels, stride: int) -> Slopes:
        starts, summits, counts, depths = [NOTHING], [NOTHING], [NOTHING], [NOTHING]
        for start, stop in blocks(levels, stride):
            changes = Changes.of(levels, start, stop)
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


def blocks(levels: Levels, stride: int) -> Iterator[tuple[int, int]]:
    """Positions (start, stop), both in the frame, of blocks of whole rows."""
    step = max(1, BLOCK // stride) * stride
    for start in range(0, len(levels) - 1, step):
        yield start, min(start + step, len(levels) - 1)


def _steps_down(levels: Levels, starts: Index, stride: int) -> tuple[Index, Index, Index]:
    """Slopes above each other (upper, lower) and the highest level at which one can step down."""
    step = np.minimum(levels[:-stride], levels[stride:])
    # A cut that occurs twice does no harm: reduceat then gives the step at the cut itself, which is one of them.
    cuts = np.sort(np.concatenate((starts, starts - stride)))
    cuts = cuts[(cuts >= 0) & (cuts < len(step))]
    if not len(cuts):
        return NOTHING, NOTHING, NOTHING
    upper = np.searchsorted(starts, cuts, "right") - 1
    lower = np.searchsorted(starts, cuts + stride, "right") - 1
    level = np.maximum.reduceat(step, cuts).astype(np.intp)
    real = np.flatnonzero(level)
    return upper[real], lower[real], level[real]


class Changes(NamedTuple):
    """Every change of level along some rows, left to right, top to bottom."""

    at: Index
    before: Index
    after: Index

    @classmethod
    def of(cls, levels: Levels, start: int, stop: int) -> Changes:
        """The changes at positions ``start < p <= stop``, both in the frame."""
        left = np.flatnonzero(levels[start + 1 : stop + 1] != levels[start:stop]) + start
        return cls(left + 1, levels[left].astype(np.intp), levels[left + 1].astype(np.intp))

    def slope_begins(self) -> Index:
        """Which changes begin a slope: each first rise after a fall. A row ends in a 0, so that no slope goes on."""
        rising = self.after > self.before
        begins = rising.copy()
        begins[1:] &= ~rising[:-1]
        return np.flatnonzero(begins)
