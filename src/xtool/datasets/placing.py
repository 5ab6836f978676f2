"""From the boxes and masks of an annotation to half-open boxes and masks in the pixels of the upright image."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xtool.errors import DataError
from xtool.image.files import Frame

__all__ = ["Convention", "half_open", "place_boxes", "place_mask"]

Convention = Literal["half-open", "zero-based", "one-based"]
"""``half-open`` (x1 is one past the last pixel), or with the last pixel inside, counted from 0 or from 1."""

SHIFTS: dict[Convention, tuple[int, int, int, int]] = {
    "half-open": (0, 0, 0, 0),
    "zero-based": (0, 0, 1, 1),
    "one-based": (-1, -1, 0, 0),
}

TOLERANCE = 1.0
"""Pixels by which a box may leave the image and is cut: annotators disagree about where counting starts."""

Boxes = NDArray[np.float64]


def half_open(boxes: ArrayLike, convention: Convention) -> Boxes:
    """Boxes [N, 4] of a convention as half-open ones counted from 0."""
    shift = SHIFTS[convention]
    shifted: Boxes = np.asarray(boxes, np.float64).reshape(-1, 4) + np.array(shift, np.float64)
    return shifted


def place_boxes(boxes: Boxes, frame: Frame, file: str, annotated_size: tuple[int, int] | None = None) -> Boxes:
    """Half-open boxes [N, 4] of an annotation in the upright image.

    ``annotated_size`` is the (width, height) that the annotator saw, if the annotation says. Annotations are
    of the pixels as stored (the tools of their time ignored EXIF), unless that size says otherwise.
    Raises :class:`DataError` for an image of another size than annotated, and for boxes that are empty, not
    finite, or more than a pixel outside the image.
    """
    seen_upright = False
    if annotated_size is not None and annotated_size != frame.stored_size:
        if annotated_size != frame.size:
            raise DataError(file, f"annotated at {_size(annotated_size)}, but the image is {_size(frame.stored_size)}")
        seen_upright = True
    width, height = frame.size if seen_upright else frame.stored_size
    _check(boxes, width, height, file)
    cut: Boxes = np.clip(boxes, 0, (width, height, width, height))
    return cut if seen_upright else frame.upright(cut)


def place_mask(mask: NDArray[np.uint8], frame: Frame, file: str) -> NDArray[np.uint8]:
    """A mask [height, width] of an annotation in the upright image.

    It is of the pixels as stored, unless its size says otherwise. Raises :class:`DataError` for another size.
    """
    size = (mask.shape[1], mask.shape[0])
    if size == frame.stored_size:
        return frame.turn(mask)
    if size != frame.size:
        raise DataError(file, f"the mask is {_size(size)}, but the image is {_size(frame.stored_size)}")
    return mask


def _check(boxes: Boxes, width: int, height: int, file: str) -> None:
    if len(boxes) and boxes.min() >= 0 and boxes.max() <= 1 and max(width, height) > 1:
        shown = " ".join(f"{value:g}" for value in boxes[0])
        raise DataError(
            file, f"the box {shown} looks like fractions of the image; pixels are wanted: times {width} and {height}"
        )
    limit = np.array([width, height, width, height])
    for box in boxes:
        shown = " ".join(f"{value:g}" for value in box)
        if not np.isfinite(box).all() or box[2] <= box[0] or box[3] <= box[1]:
            raise DataError(file, f"the box {shown} is empty")
        if (box < -TOLERANCE).any() or (box > limit + TOLERANCE).any():
            raise DataError(file, f"the box {shown} lies outside the image of {width} x {height}")


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"
