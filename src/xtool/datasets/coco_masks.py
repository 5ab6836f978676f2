"""The three ways in which COCO writes down a mask, decoded: polygons, and run lengths as numbers or as text.

Run lengths go down the columns and begin with the background. As text, each is a number in base 32, lowest digit first,
a character for each digit: its code minus 48 has the digit in 5 bits, and a sixth that says that another one follows.
Numbers are signed by the last digit's highest bit; from the fourth on they are differences to the one two before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["decode", "polygon_mask", "run_length_mask", "run_lengths"]

Mask = NDArray[np.bool_]
Size = tuple[int, int]
"""(width, height)."""

DIGIT, MORE, SIGN = 0b011111, 0b100000, 0b010000


def decode(segmentation: Any, size: Size) -> Mask:
    """The mask [height, width] of one annotation's ``segmentation``, in an image of (width, height).

    Raises :class:`ValueError` that says what is wrong with it.
    """
    if isinstance(segmentation, dict):
        counts, told = segmentation.get("counts"), segmentation.get("size")
        if told != [size[1], size[0]]:
            raise ValueError(f"run lengths of size {told} in an image of height and width {[size[1], size[0]]}")
        return run_length_mask(run_lengths(counts) if isinstance(counts, str) else _whole(counts), size)
    if not isinstance(segmentation, list) or not segmentation:
        raise ValueError("neither polygons nor run lengths")
    mask = np.zeros(size[::-1], bool)
    for polygon in segmentation:
        mask |= polygon_mask(polygon, size)
    return mask


def run_length_mask(counts: Sequence[int], size: Size) -> Mask:
    """From run lengths down the columns, background first. Raises :class:`ValueError` where they do not add up."""
    width, height = size
    if min(counts, default=0) < 0 or sum(counts) != width * height:
        raise ValueError(f"run lengths that add up to {sum(counts)} in an image of {width * height} pixels")
    values = np.arange(len(counts)) % 2 == 1
    mask: Mask = np.repeat(values, counts).reshape(width, height).T
    return mask


def run_lengths(text: str) -> list[int]:
    """Run lengths from their text. Raises :class:`ValueError` for a text that is none."""
    found: list[int] = []
    number = shift = 0
    for character in text:
        digit = ord(character) - 48
        if not 0 <= digit < 64:
            raise ValueError(f"{character!r} is in no text of run lengths")
        number |= (digit & DIGIT) << shift
        shift += 5
        if digit & MORE:
            continue
        if digit & SIGN:
            number -= 1 << shift
        found.append(number + (found[-2] if len(found) > 2 else 0))
        number = shift = 0
    if shift:
        raise ValueError("the text of run lengths ends inside a number")
    return found


def polygon_mask(corners: Sequence[float], size: Size) -> Mask:
    """The pixels whose centres lie in a polygon ``[x0, y0, x1, y1, …]``; where it crosses itself, by the even-odd rule.

    COCO's own tools round corners to fifths of a pixel, and may differ in pixels on the edge.
    Raises :class:`ValueError` for fewer than three corners.
    """
    points = np.asarray(corners, np.float64)
    if points.ndim != 1 or len(points) < 6 or len(points) % 2 or not np.isfinite(points).all():
        raise ValueError("a polygon is a list of at least three corners x, y, …")
    width, height = size
    x0, y0 = points.reshape(-1, 2).T
    x1, y1 = np.roll(x0, -1), np.roll(y0, -1)
    # Each edge flips everything right of where it crosses the line through a row's centres.
    flips = np.zeros((height, width + 1), np.int64)
    for ax, ay, bx, by in zip(x0, y0, x1, y1, strict=True):
        first, last = (int(np.clip(np.ceil(end - 0.5), 0, height)) for end in (min(ay, by), max(ay, by)))
        rows = np.arange(first, last)
        crossings = ax + (rows + 0.5 - ay) * (bx - ax) / (by - ay) if len(rows) else np.zeros(0)
        flips[rows, np.clip(np.ceil(crossings - 0.5), 0, width).astype(np.int64)] += 1
    inside: Mask = flips.cumsum(axis=1)[:, :width] % 2 == 1
    return inside


def _whole(counts: Any) -> list[int]:
    if not isinstance(counts, list) or not all(isinstance(count, int) for count in counts):
        raise ValueError("run lengths are a text or a list of whole numbers")
    return counts
