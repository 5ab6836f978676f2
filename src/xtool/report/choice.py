"""Which images a gallery shows: where a method was best, worst, and most different from the other methods."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xtool.runs.images import ImageResult
    from xtool.runs.rows import MethodResult

__all__ = ["best", "disagreeing", "middling", "worst"]


def best(result: MethodResult, number: int) -> list[ImageResult]:
    """At most ``number`` found images, highest IoU first."""
    return [result.images[at] for at in _best(result, number)]


def worst(result: MethodResult, number: int) -> list[ImageResult]:
    """At most ``number`` images, lowest IoU first; none that :func:`best` shows too."""
    shown = set(_best(result, number))
    order = _order(result.images.iou)[: number + len(shown)].tolist()
    return [result.images[at] for at in order if at not in shown][:number]


def disagreeing(result: MethodResult, number: int) -> list[ImageResult]:
    """At most ``number`` images that differ most from the other methods' mean, either way."""
    apart = np.abs(result.images.difference)
    return [result.images[at] for at in _order(-apart)[:number].tolist() if apart[at]]


def middling(result: MethodResult) -> ImageResult:
    """The image of median IoU."""
    return result.images[int(_order(result.images.iou)[len(result.images) // 2])]


def _best(result: MethodResult, number: int) -> list[int]:
    images = result.images
    found = np.flatnonzero(images.found)
    best: list[int] = found[_order(-images.iou[found])[:number]].tolist()
    return best


def _order(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """From the smallest; equals in the order of the data set."""
    return np.argsort(values, kind="stable")
