"""Boxes as the public WSOL evaluation code (Choe et al., CVPR 2020, "wsolevaluation") takes them from a map.

Its conventions change numbers by whole points, so they are kept: maps of 224² in float64, values of 0 to 255, a strict
threshold ``int(τ · max)``, contours of holes too, true boxes cut to integers, the last pixel counted in a box.
Needs OpenCV, which no other part of xtool does: ``pip install "xtool-saliency[wsol]"``.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xtool.errors import SetupError
from xtool.metrics.image_map import ImageMap
from xtool.metrics.iou import box_iou

__all__ = [
    "SIDE",
    "box_ious",
    "boxes_by_cut",
    "contour_boxes",
    "opencv_version",
    "resized_map",
    "resized_mask",
    "true_boxes",
]

SIDE = 224
"""Maps, masks and boxes are compared at this width and height, whatever the image's."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Size = tuple[int, int]
"""Width and height of an image."""


def boxes_by_cut(image_map: ImageMap, thresholds: Floats, *, every: bool) -> tuple[list[Floats], Ints]:
    """Boxes at each different cut of a map, and [N] which of the cuts each of N thresholds makes.

    ``every`` takes the boxes of all contours (V2), else only that of the contour with the largest area (V1). Boxes are
    half-open in image pixels and hold the cells of the 224² grid that the reference's box holds, whole, so that
    :func:`box_ious` gets the reference's box back. Raises :class:`SetupError` without OpenCV.
    """
    picture = (resized_map(image_map) * 255).astype(np.uint8)
    top = int(picture.max())
    # There are no more than 255 different cuts, however fine the thresholds.
    cuts, which = np.unique([int(threshold * top) for threshold in thresholds.tolist()], return_inverse=True)
    width, height = image_map.geometry.image_size
    cell = np.array((width, height, width, height)) / SIDE
    past_the_last = np.array((0, 0, 1, 1))
    found = [(contour_boxes(picture, cut, every=every) + past_the_last) * cell for cut in cuts.tolist()]
    return found, which


def box_ious(boxes: ArrayLike, truth: ArrayLike, image_size: Size) -> Floats:
    """IoU [K, M] of boxes as :func:`boxes_by_cut` gives them with true ones, by the reference's rule.

    Both are half-open in image pixels. Predicted ones are cells of the 224² grid; true ones are cut to it.
    """
    width, height = image_size
    grid = np.rint(np.asarray(boxes, np.float64).reshape(-1, 4) * SIDE / (width, height, width, height))
    return box_iou(grid - (0, 0, 1, 1), true_boxes(truth, image_size), inclusive=True)


def contour_boxes(picture: NDArray[np.uint8], cut: int, *, every: bool) -> Ints:
    """[K, 4] boxes (last pixel inside, K ≥ 1) of what is above ``cut`` in a picture; ``(0, 0, 0, 0)`` if nothing is.

    Contours of holes count as contours.
    """
    cv2 = _cv2()
    height, width = picture.shape
    _, foreground = cv2.threshold(picture, cut, 255, cv2.THRESH_BINARY)
    contours, _ = cv2.findContours(foreground, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
    if not contours:
        return np.zeros((1, 4), np.int64)
    if not every:
        contours = [max(contours, key=cv2.contourArea)]
    # boundingRect gives x + w, one past the last pixel, and the reference takes it for the last pixel.
    rectangles = (cv2.boundingRect(contour) for contour in contours)
    return np.array([(x, y, min(x + w, width - 1), min(y + h, height - 1)) for x, y, w, h in rectangles], np.int64)


def resized_map(image_map: ImageMap) -> Floats:
    """[224, 224] in [0, 1]: the map resized bicubically, then min–max; all 0 where it is constant or not finite."""
    cv2 = _cv2()
    # The reference knows only squash; under another fit, its square is the image's and not the model input's.
    squashed = image_map.geometry.fit == "squash"
    source = np.asarray(image_map.low if squashed else image_map.full, np.float64)
    nothing = np.zeros((SIDE, SIDE))
    if not np.isfinite(source).all():
        return nothing
    resized: Floats = cv2.resize(source, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    lowest = resized.min()
    span = resized.max() - lowest
    # A constant map leaves bicubic weights a rounding error away from constant: ask the source.
    if source.min() == source.max() or not span > 0:
        return nothing
    normalised: Floats = (resized - lowest) / span
    return normalised


def resized_mask(mask: NDArray[Any]) -> NDArray[np.uint8]:
    """[224, 224] a true mask [height, width] resized to its nearest pixels; 255 stays what is ignored."""
    cv2 = _cv2()
    resized: NDArray[np.uint8] = cv2.resize(mask.astype(np.uint8), (SIDE, SIDE), interpolation=cv2.INTER_NEAREST)
    return resized


def true_boxes(boxes: ArrayLike, image_size: Size) -> Ints:
    """[M, 4] half-open boxes in image pixels as boxes at 224², last pixel inside, each corner cut to an integer."""
    width, height = image_size
    inclusive = np.asarray(boxes, np.float64).reshape(-1, 4) - (0, 0, 1, 1)
    return (inclusive * SIDE / (width, height, width, height)).astype(np.int64)


def opencv_version() -> str:
    """Raises :class:`SetupError` where OpenCV is missing."""
    return str(_cv2().__version__)


def _cv2() -> ModuleType:
    try:
        import cv2
    except ImportError as error:
        raise SetupError(
            "the protocols maxboxacc, maxboxaccv2 and cam2016 and the metric pxap need OpenCV: "
            'pip install "xtool-saliency[wsol]"'
        ) from error
    return cv2
