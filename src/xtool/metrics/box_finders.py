"""From a map to boxes, and from boxes to overlaps: the two halves of a localization protocol that must fit together.

Boxes are half-open ``(x0, y0, x1, y1)`` in image pixels whatever grid a finder works on, so that they can be drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xtool.metrics import wsol
from xtool.metrics.boxes import BoxSweep, box_sweep
from xtool.metrics.image_map import ImageMap
from xtool.metrics.iou import box_iou

__all__ = ["BoxFinder", "Boxes", "Components", "Contours", "Sweep"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Boxes = Floats


@dataclass(frozen=True, slots=True)
class Sweep:
    """The boxes of one map at N thresholds. Thresholds that cut the map in the same way share a level."""

    boxes: Boxes
    """[M, 4] of all levels."""
    level: Ints
    """[M] ascending: the level that each box belongs to."""
    level_of: Ints
    """[N] the level of each threshold."""

    def at(self, index: int) -> Boxes:
        """[K, 4] boxes at the threshold of this index."""
        found: Boxes = self.boxes[self.level == self.level_of[index]]
        return found

    def highest(self, values: Floats) -> Floats:
        """[N] at each threshold the highest of its boxes' values, from ``values`` [M] ≥ 0; 0 where there is no box."""
        best = np.zeros(int(self.level_of.max()) + 1)
        np.maximum.at(best, self.level, values)
        highest: Floats = best[self.level_of]
        return highest


class BoxFinder(Protocol):
    """How boxes are made from a map, and how they overlap with true ones."""

    def sweep(self, image_map: ImageMap, thresholds: Floats) -> Sweep:
        """The boxes at each of N ascending thresholds, fractions of the map's maximum in [0, 1)."""
        ...

    def ious(self, boxes: ArrayLike, truth: ArrayLike, image_size: tuple[int, int]) -> Floats:
        """IoU [K, M] of boxes from :meth:`sweep` with true boxes, in an image of (width, height)."""
        ...

    def versions(self) -> dict[str, str]:
        """Of libraries beyond the core's own. Raises :class:`xtool.errors.SetupError` where one is missing."""
        ...


@dataclass(frozen=True, slots=True)
class Components:
    """4-connected components of the map in the image that are not too small (see :mod:`xtool.metrics.boxes`)."""

    every: bool
    """Whether each of them gives a box, or at each threshold only the one with most pixels (the first of equals)."""

    def sweep(self, image_map: ImageMap, thresholds: Floats) -> Sweep:
        found = box_sweep(image_map.full, thresholds)
        rows = np.arange(len(found.boxes)) if self.every else _largest(found)
        return Sweep(found.boxes[rows].astype(np.float64), found.threshold_index[rows], np.arange(len(thresholds)))

    def ious(self, boxes: ArrayLike, truth: ArrayLike, image_size: tuple[int, int]) -> Floats:
        return box_iou(boxes, truth)

    def versions(self) -> dict[str, str]:
        return {}


def _largest(found: BoxSweep) -> Ints:
    """The row of the largest component at each threshold that has any; rows of a threshold are in raster order."""
    order = np.lexsort((-found.areas, found.threshold_index))
    first = np.unique(found.threshold_index[order], return_index=True)[1]
    rows: Ints = order[first]
    return rows


@dataclass(frozen=True, slots=True)
class Contours:
    """Contours of the map at 224², as :mod:`xtool.metrics.wsol` finds them: all of them, or only the largest."""

    every: bool

    def sweep(self, image_map: ImageMap, thresholds: Floats) -> Sweep:
        found, level_of = wsol.boxes_by_cut(image_map, thresholds, every=self.every)
        level = np.repeat(np.arange(len(found)), [len(boxes) for boxes in found])
        return Sweep(np.concatenate(found), level, level_of)

    def ious(self, boxes: ArrayLike, truth: ArrayLike, image_size: tuple[int, int]) -> Floats:
        return wsol.box_ious(boxes, truth, image_size)

    def versions(self) -> dict[str, str]:
        return {"opencv": wsol.opencv_version()}
