"""Which images a gallery shows: where a method was best, worst, and most different from the other methods."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xtool.runs.summary import ImageResult, MethodResult

__all__ = ["best", "disagreeing", "middling", "worst"]


def best(result: MethodResult, number: int) -> list[ImageResult]:
    """At most ``number`` found images, highest IoU first."""
    return sorted((image for image in result.images if image.found), key=lambda image: -image.iou)[:number]


def worst(result: MethodResult, number: int) -> list[ImageResult]:
    """At most ``number`` images, lowest IoU first; none that :func:`best` shows too."""
    shown = {id(image) for image in best(result, number)}
    rest = [image for image in result.images if id(image) not in shown]
    return sorted(rest, key=lambda image: image.iou)[:number]


def disagreeing(result: MethodResult, number: int) -> list[ImageResult]:
    """At most ``number`` images that differ most from the other methods' mean, either way."""
    return sorted((image for image in result.images if image.difference), key=lambda image: -abs(image.difference))[
        :number
    ]


def middling(result: MethodResult) -> ImageResult:
    """The image of median IoU."""
    return sorted(result.images, key=lambda image: image.iou)[len(result.images) // 2]
