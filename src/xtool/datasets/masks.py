"""True masks from pictures in which each pixel is the number of a class, and boxes from masks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from xtool.datasets.placing import place_mask
from xtool.errors import DataError
from xtool.image.files import Frame, open_values

__all__ = ["IGNORE", "component_boxes", "mask_of", "open_palette_mask", "palette_numbers"]

IGNORE = 255
"""Of a mask: pixels that are neither object nor background."""

SPECK = 1e-3
"""Parts of a mask of at most this share of the image get no box, where there is a larger one."""


def mask_of(numbers: NDArray[Any], wanted: int, ignored: int) -> NDArray[np.uint8]:
    """The mask [height, width] of one class in a picture of class numbers: 1, 0, and 255 for what is ignored."""
    mask: NDArray[np.uint8] = (numbers == wanted).astype(np.uint8)
    mask[numbers == ignored] = IGNORE
    return mask


def palette_numbers(path: Path) -> NDArray[np.uint8]:
    """[height, width] the class numbers of a palette or grey picture. Raises :class:`DataError` for any other."""
    numbers = open_values(path)
    if numbers.ndim != 2:
        raise DataError(os.fspath(path), "is a picture of colours; one of class numbers is wanted (with a palette)")
    return numbers


def open_palette_mask(path: Path, wanted: int, frame: Frame) -> NDArray[np.uint8]:
    """The mask of one class in the upright image, from a palette picture in which 255 is ignored."""
    return place_mask(mask_of(palette_numbers(path), wanted, IGNORE), frame, os.fspath(path))


def component_boxes(mask: NDArray[Any]) -> NDArray[np.float64]:
    """[N, 4] half-open boxes around the 4-connected parts of what is 1 in a mask [height, width], in raster order.

    Parts of at most a thousandth of the image get none, unless all are that small. None where nothing is 1.
    """
    parts, count = ndimage.label(mask == 1)
    areas = np.bincount(parts.ravel(), minlength=count + 1)[1:]
    large = areas > mask.size * SPECK
    kept = large if large.any() else np.ones(count, bool)
    found = ndimage.find_objects(parts)
    boxes = [(x.start, y.start, x.stop, y.stop) for (y, x), keep in zip(found, kept, strict=True) if keep]
    return np.array(boxes, np.float64).reshape(-1, 4)
