"""A heat map as a layer of colour: hot places cover the photograph, cold ones let it through.

The layer is opaque or transparent in itself and is laid over the photograph in pixels. Renderers are never asked to
blend: matplotlib's SVG and PDF writers apply an image's alpha twice. It is imported when something is painted, as it
takes a second that a table does not need.
"""

from __future__ import annotations

import difflib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from xtool.errors import UsageError

__all__ = [
    "COLOUR_MAP",
    "COLOUR_MAPS",
    "OPACITY",
    "blended",
    "check_colour_map",
    "heat_layer",
    "level_colours",
    "resized",
]

COLOUR_MAP = "turbo"
COLOUR_MAPS = ("turbo", "inferno", "viridis", "cividis", "magma", "jet")
"""The ones to choose from in a menu; every colour map of matplotlib works by name."""

OPACITY = 0.75
"""Of the hottest place."""
PALE = 0.45
"""Faded layers have this share of the opacity."""
LEVELS = 256


def check_colour_map(name: str) -> str:
    """Return the name. Raises :class:`UsageError` where matplotlib has no colour map of it."""
    if name == COLOUR_MAP:
        return name
    from matplotlib import colormaps

    if name not in colormaps:
        near = difflib.get_close_matches(name, list(colormaps), n=1)
        hint = f"did you mean {near[0]}?" if near else f"try one of {', '.join(COLOUR_MAPS)}"
        raise UsageError(f"there is no colour map {name!r}; {hint}")
    return name


def level_colours(colour_map: str = COLOUR_MAP, opacity: float = OPACITY, *, faded: bool = False) -> NDArray[np.uint8]:
    """[256, 4] RGBA of the levels of a map, from 0 to its maximum."""
    from matplotlib import colormaps

    level = np.linspace(0, 1, LEVELS)
    colours = np.array(colormaps[check_colour_map(colour_map)](level, bytes=True), dtype=np.uint8)
    # Square root: lukewarm places must show, or a sharp map looks like a single dot.
    colours[:, 3] = np.rint(255 * opacity * (PALE if faded else 1) * np.sqrt(level))
    return colours


def heat_layer(
    heat: NDArray[Any], colour_map: str = COLOUR_MAP, opacity: float = OPACITY, *, faded: bool = False
) -> Image.Image:
    """A map [H, W] in [0, 1] as a picture with a palette, transparent where the map is 0."""
    colours = level_colours(colour_map, opacity, faded=faded)
    layer = Image.fromarray(np.rint(np.clip(heat, 0, 1) * (LEVELS - 1)).astype(np.uint8), "L")
    layer.putpalette(colours[:, :3].tobytes())
    layer.info["transparency"] = colours[:, 3].tobytes()
    return layer


def blended(
    image: Image.Image,
    heat: NDArray[Any],
    colour_map: str = COLOUR_MAP,
    opacity: float = OPACITY,
    *,
    faded: bool = False,
) -> Image.Image:
    """An RGB image under the layer of a map [H, W], which is stretched over all of it. Opaque."""
    stretched = Image.fromarray(np.ascontiguousarray(heat, np.float32)).resize(image.size, Image.Resampling.BILINEAR)
    layer = heat_layer(np.asarray(stretched), colour_map, opacity, faded=faded)
    return Image.alpha_composite(image.convert("RGBA"), layer.convert("RGBA")).convert("RGB")


def resized(image: Image.Image, side: int) -> Image.Image:
    """A copy whose longer side has ``side`` pixels."""
    zoom = side / max(image.size)
    width, height = (max(1, round(length * zoom)) for length in image.size)
    return image.resize((width, height), Image.Resampling.LANCZOS if zoom < 1 else Image.Resampling.BICUBIC)
