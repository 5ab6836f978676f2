"""The pixels of an image that boxes contain."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["pixels_inside"]


def pixels_inside(boxes: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """[height, width] whether any of the half-open boxes [M, 4] contains the pixel: its centre."""
    inside = np.zeros(shape, bool)
    for x0, y0, x1, y1 in np.ceil(np.asarray(boxes, np.float64).reshape(-1, 4) - 0.5).clip(0).astype(int).tolist():
        inside[y0:y1, x0:x1] = True
    return inside
