"""Intersection over union of boxes."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["box_iou"]


def box_iou(first: ArrayLike, second: ArrayLike, *, inclusive: bool = False) -> NDArray[np.float64]:
    """IoU [N, M] of each of N boxes with each of M, all ``(x0, y0, x1, y1)``.

    Boxes are half-open: (0, 0, 1, 1) is one pixel. With ``inclusive`` the last pixel belongs to the box, so that
    widths are ``x1 - x0 + 1``, as wsolevaluation has them. Boxes without area have IoU 0.
    """
    a, b = _boxes(first)[:, None], _boxes(second)[None]
    extra = 1.0 if inclusive else 0.0
    overlap = _area(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]) + extra)
    union = _area(a[..., 2:] - a[..., :2] + extra) + _area(b[..., 2:] - b[..., :2] + extra) - overlap
    iou: NDArray[np.float64] = np.divide(overlap, union, out=np.zeros_like(overlap), where=union > 0)
    return iou


def _boxes(boxes: ArrayLike) -> NDArray[np.float64]:
    return np.asarray(boxes, np.float64).reshape(-1, 4)


def _area(sides: NDArray[np.float64]) -> NDArray[np.float64]:
    area: NDArray[np.float64] = np.clip(sides, 0, None).prod(axis=-1)
    return area
