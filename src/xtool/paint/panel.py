"""One picture of an answer: a map, its boxes, a title and a verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from xtool.paint.heat import COLOUR_MAP, OPACITY, blended, resized
from xtool.paint.verdicts import Verdict

__all__ = ["BOX_COLOUR", "EMPTY", "HALO_COLOUR", "PALE_BOX_COLOUR", "PALE_HALO_COLOUR", "MapPanel", "overlay"]

BOX_COLOUR = "#ffffff"
HALO_COLOUR = "#0f0f14"
"""A dark line around the white one keeps it visible on snow."""
PALE_BOX_COLOUR, PALE_HALO_COLOUR = "#d0d4da", "#5c636e"
"""Of boxes around something that was not found."""

EMPTY = "empty map: nothing stands out"
"""In place of heat that is zero everywhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MapPanel:
    """What is drawn over an image."""

    heat: NDArray[np.float32]
    """[H, W] in [0, 1], stretched over the whole image; all zero where the method sees nothing."""
    boxes: NDArray[Any]
    """[N, 4] half-open (x0, y0, x1, y1) in pixels of the image."""
    title: str = ""
    verdict: Verdict = Verdict.CANNOT_TELL

    @property
    def empty(self) -> bool:
        """Whether the map is zero everywhere."""
        return not self.heat.any()

    def painted(self, image: Image.Image, colour_map: str = COLOUR_MAP, opacity: float = OPACITY) -> Image.Image:
        """The image with the heat over it, without boxes."""
        return blended(image, self.heat, colour_map, opacity, faded=self.verdict.faded)


def overlay(
    image: Image.Image,
    panel: MapPanel,
    side: int,
    *,
    colour_map: str = COLOUR_MAP,
    opacity: float = OPACITY,
    boxes: bool = True,
) -> Image.Image:
    """The image with heat and boxes, in pixels; its longer side has ``side`` of them."""
    drawn = panel.painted(resized(image, side), colour_map, opacity)
    draw = ImageDraw.Draw(drawn)
    pale = panel.verdict.faded
    halo, colour = (PALE_HALO_COLOUR, PALE_BOX_COLOUR) if pale else (HALO_COLOUR, BOX_COLOUR)
    thick = 3 if pale else 5
    scale = np.array([*drawn.size, *drawn.size]) / np.array([*image.size, *image.size])
    for x0, y0, x1, y1 in (panel.boxes * scale).tolist() if boxes else ():
        right, bottom = max(x0, x1 - 1), max(y0, y1 - 1)
        draw.rectangle((x0, y0, right, bottom), outline=halo, width=thick)
        if right - 1 > x0 + 1 and bottom - 1 > y0 + 1:
            draw.rectangle((x0 + 1, y0 + 1, right - 1, bottom - 1), outline=colour, width=thick - 2)
    if panel.empty:
        draw.text((drawn.width / 2, drawn.height / 2), EMPTY, "white", anchor="mm", stroke_width=2, stroke_fill="black")
    return drawn
