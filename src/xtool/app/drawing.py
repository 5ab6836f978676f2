"""The answer as pictures, drawn anew whenever the threshold or the colours move; no model runs for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from xtool.explanation import DEFAULT_THRESHOLD, Explanation

__all__ = ["COLOUR_MAPS", "Look", "difference", "overlay", "resized", "sheet"]

COLOUR_MAPS = ("turbo", "inferno", "viridis", "cividis", "magma", "jet")
SHOWN_SIDE = 720
"""Pixels of the longer side on the page."""

_HALO, _LINE = (15, 15, 20), (255, 255, 255)
_INK, _FAINT, _PAPER = (28, 28, 36), (112, 112, 124), (255, 255, 255)


@dataclass(frozen=True, slots=True)
class Look:
    """What a visitor can change without a model."""

    threshold: float = DEFAULT_THRESHOLD
    colour_map: str = COLOUR_MAPS[0]
    opacity: float = 0.75
    """Of the hottest place; cold places let the picture through."""
    boxes: bool = True


def overlay(explanation: Explanation, row: int, look: Look, side: int = SHOWN_SIDE) -> Image.Image:
    """The picture with one text's heat map and boxes over it, its longer side ``side`` pixels."""
    image = resized(explanation.image, side)
    heat = explanation.maps[row]
    if not heat.any():
        return image
    cold = np.asarray(image, dtype=np.float32)
    small = _heat_at(heat, image.size)
    hot = _painted(small, look.colour_map)
    # Square root: lukewarm places must show, or a sharp map looks like a single dot.
    weight = look.opacity * np.sqrt(small)[:, :, None]
    drawn = Image.fromarray((cold * (1 - weight) + hot * weight).round().astype(np.uint8))
    if look.boxes:
        _draw_boxes(drawn, explanation.boxes(look.threshold)[row], image.width / explanation.image.width)
    return drawn


def difference(first: Explanation, second: Explanation, row: int, side: int = SHOWN_SIDE) -> Image.Image:
    """Where two methods differ: red where the first is hotter, blue where the second is, over a grey picture."""
    image = resized(first.image, side)
    delta = _heat_at(first.maps[row], image.size) - _heat_at(second.maps[row], image.size)
    grey = np.asarray(image.convert("L").convert("RGB"), dtype=np.float32) * 0.5 + 127
    weight = np.abs(delta)[:, :, None]
    drawn = grey * (1 - weight) + _painted((delta + 1) / 2, "seismic") * weight
    return Image.fromarray(drawn.round().astype(np.uint8))


def sheet(explanations: Sequence[Explanation], titles: Sequence[str], look: Look, side: int = 480) -> Image.Image:
    """All texts × all methods on one sheet of paper, as the page shows them: a row per text, a column per method."""
    picture = resized(explanations[0].image, side)
    gap, head, foot = 16, 30, 34
    width = gap + (1 + len(explanations)) * (picture.width + gap)
    height = gap + len(titles) * (picture.height + head + gap) + foot
    paper = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(paper)
    for row, title in enumerate(titles):
        top = gap + row * (picture.height + head + gap)
        _write(draw, (gap, top), title, picture.width, _INK, 17)
        paper.paste(picture, (gap, top + head))
        for column, explanation in enumerate(explanations, start=1):
            left = gap + column * (picture.width + gap)
            _write(draw, (left, top), f"{explanation.method}{_mark(explanation, row)}", picture.width, _INK, 17)
            paper.paste(overlay(explanation, row, look, side), (left, top + head))
    told = f"{explanations[0].encoder}, boxes at {look.threshold:g} of the maximum"
    _write(draw, (gap, height - foot), told, width - 2 * gap, _FAINT, 14)
    return paper


def resized(image: Image.Image, side: int = SHOWN_SIDE) -> Image.Image:
    """A copy whose longer side has ``side`` pixels. Small pictures grow, so that lines over them are thin and sharp."""
    zoom = side / max(image.size)
    width, height = (max(1, round(length * zoom)) for length in image.size)
    return image.resize((width, height), Image.Resampling.LANCZOS if zoom < 1 else Image.Resampling.BICUBIC)


def _mark(explanation: Explanation, row: int) -> str:
    if explanation.present is None:
        return ""
    return ": found" if explanation.present[row] else ": not there"


def _heat_at(heat: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    return np.asarray(Image.fromarray(heat).resize(size, Image.Resampling.BILINEAR), dtype=np.float32).clip(0, 1)


def _painted(values: NDArray[Any], colour_map: str) -> NDArray[np.float32]:
    return np.asarray(colormaps[colour_map](values), dtype=np.float32)[:, :, :3] * 255


def _draw_boxes(image: Image.Image, boxes: NDArray[np.int64], scale: float) -> None:
    draw = ImageDraw.Draw(image)
    for box in boxes:
        x0, y0, x1, y1 = (float(edge) * scale for edge in box)
        corners = (x0, y0, max(x0, x1 - 1), max(y0, y1 - 1))
        # A dark line around the white one keeps it visible on snow.
        draw.rectangle(corners, outline=_HALO, width=5)
        inner = tuple(edge + shift for edge, shift in zip(corners, (1, 1, -1, -1), strict=True))
        if inner[2] > inner[0] and inner[3] > inner[1]:
            draw.rectangle(inner, outline=_LINE, width=3)


def _write(
    draw: ImageDraw.ImageDraw, place: tuple[int, int], text: str, room: int, colour: tuple[int, int, int], size: int
) -> None:
    font = _font(size)
    if draw.textlength(text, font=font) > room:
        while text and draw.textlength(text + "…", font=font) > room:
            text = text[:-1]
        text += "…"
    draw.text(place, text, fill=colour, font=font)


@cache
def _font(size: int) -> Any:
    return ImageFont.load_default(size)
