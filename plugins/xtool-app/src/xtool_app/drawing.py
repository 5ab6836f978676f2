"""The answer as pictures, drawn anew whenever the threshold or the colours move; no model runs for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image

from xtool.paint.figure import maps_figure
from xtool.paint.heat import COLOUR_MAPS, OPACITY, level_colours
from xtool.paint.heat import resized as resized_to
from xtool.paint.panel import overlay as painted
from xtool.paint.words import words_note
from xtool.plugin import Explanation
from xtool_app.search import Answer
from xtool_app.wording import taken_for

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["COLOUR_MAPS", "Look", "colour_stops", "difference", "overlay", "resized", "sheet"]

SHOWN_SIDE = 720
"""Pixels of the longer side on the page."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a visitor can change without a model."""

    threshold: float = 0.15
    colour_map: str = COLOUR_MAPS[0]
    opacity: float = OPACITY
    """Of the hottest place; cold places let the picture through."""
    boxes: bool = True


def overlay(explanation: Explanation, row: int, look: Look, side: int = SHOWN_SIDE) -> Image.Image:
    """The picture with one text's heat map and boxes over it, its longer side ``side`` pixels."""
    panel = explanation.panels(look.threshold)[row]
    return painted(explanation.image, panel, side, colour_map=look.colour_map, opacity=look.opacity, boxes=look.boxes)


def difference(first: Explanation, second: Explanation, row: int, side: int = SHOWN_SIDE) -> Image.Image:
    """Where two methods differ: red where the first is hotter, blue where the second is, over a grey picture."""
    image = resized(first.image, side)
    delta = _heat_at(first.maps[row], image.size) - _heat_at(second.maps[row], image.size)
    grey = np.asarray(image.convert("L").convert("RGB"), dtype=np.float32) * 0.5 + 127
    weight = np.abs(delta)[:, :, None]
    colours = np.asarray(colormaps["seismic"]((delta + 1) / 2), dtype=np.float32)[:, :, :3] * 255
    return Image.fromarray((grey * (1 - weight) + colours * weight).round().astype(np.uint8))


def sheet(answer: Answer, look: Look) -> Figure:
    """All texts × all methods as one figure: a row per text, a column per method."""
    words_by = answer.explanations[0].words_by
    by_method = [explanation.panels(look.threshold) for explanation in answer.explanations]
    return maps_figure(
        answer.query.picture.image,
        [question.text for question in answer.query.questions],
        [list(row) for row in zip(*by_method, strict=True)],
        note=f"{answer.query.encoder}, boxes at {look.threshold:g} of the maximum"
        + (f". {words_note(words_by)}" if words_by else ""),
        taken_for=[taken_for(understood, shown=2) for understood in answer.understood],
        words=answer.explanations[0].words,
        threshold=look.threshold,
        colour_map=look.colour_map,
    )


def colour_stops(look: Look, count: int = 17) -> list[tuple[int, int, int, float]]:
    """Colours of the scale from 0 to the maximum: red, green, blue in 0 to 255 and opacity in 0 to 1."""
    levels = level_colours(look.colour_map, look.opacity)
    picked = levels[np.linspace(0, len(levels) - 1, count).round().astype(int)]
    return [(int(red), int(green), int(blue), float(alpha) / 255) for red, green, blue, alpha in picked]


def resized(image: Image.Image, side: int = SHOWN_SIDE) -> Image.Image:
    """A copy whose longer side has ``side`` pixels. Small pictures grow, so that lines over them are thin and sharp."""
    return resized_to(image, side)


def _heat_at(heat: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    return np.asarray(Image.fromarray(heat).resize(size, Image.Resampling.BILINEAR), dtype=np.float32).clip(0, 1)
