"""How far two methods agree on one text."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xtool.plugin import Explanation, box_sweep, largest

__all__ = ["Agreement", "agreement"]


@dataclass(frozen=True, slots=True)
class Agreement:
    """Two methods on the same picture and text."""

    correlation: float | None
    """Of the heat maps, pixel by pixel (Pearson), -1 to 1; ``None`` where a map is constant."""
    box_iou: float | None
    """Intersection over union of each method's largest box; ``None`` where one has no box."""
    peak_distance: float | None
    """Between the hottest places, as a fraction of the picture's diagonal; ``None`` where a map is empty."""


def agreement(first: Explanation, second: Explanation, row: int, threshold: float) -> Agreement:
    """Compare two explanations of the same picture for text ``row``."""
    one, other = first.maps[row], second.maps[row]
    return Agreement(_correlation(one, other), _box_iou(one, other, threshold), _peak_distance(one, other))


def _correlation(one: NDArray[np.float32], other: NDArray[np.float32]) -> float | None:
    if one.min() == one.max() or other.min() == other.max():
        return None
    return float(np.corrcoef(one.ravel().astype(np.float64), other.ravel().astype(np.float64))[0, 1])


def _box_iou(one: NDArray[np.float32], other: NDArray[np.float32], threshold: float) -> float | None:
    first, second = (largest(box_sweep(heat, [threshold]), 0) for heat in (one, other))
    if not (len(first) and len(second)):
        return None
    low, high = np.maximum(first[0, :2], second[0, :2]), np.minimum(first[0, 2:], second[0, 2:])
    shared = float(np.prod((high - low).clip(0)))
    areas = sum(float(np.prod(box[0, 2:] - box[0, :2])) for box in (first, second))
    return shared / (areas - shared)


def _peak_distance(one: NDArray[np.float32], other: NDArray[np.float32]) -> float | None:
    if not (one.any() and other.any()):
        return None
    peaks = [np.array(np.unravel_index(int(heat.argmax()), heat.shape), dtype=np.float64) for heat in (one, other)]
    return float(np.linalg.norm(peaks[0] - peaks[1]) / np.hypot(*one.shape))
