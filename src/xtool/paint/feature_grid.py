"""Feature maps of one image as a grid: attention heads, token channels, queries, keys, values, principal components."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from xtool.paint.figure import axes_at, panel_inches, wrapped
from xtool.paint.heat import check_colour_map

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from PIL import Image

    from xtool.image.geometry import Geometry

__all__ = ["FEATURE_COLOUR_MAP", "FeatureGrid", "feature_grid_figure", "most_varied"]

COLUMNS = 5
PANEL_INCHES = 1.9
NAME_INCHES, TITLE_INCHES = 0.3, 0.15
FEATURE_COLOUR_MAP = "viridis"


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureGrid:
    """Maps of one image, and what they are."""

    image: Image.Image
    geometry: Geometry
    maps: NDArray[np.float32]
    """[N, h, w] raw."""
    names: tuple[str, ...]
    """[N] ``"head 3"``, ``"component 1"``, ``"channel 812"``."""
    title: str


def most_varied(maps: NDArray[np.float32], number: int) -> list[int]:
    """At most ``number`` maps of [C, h, w] with the largest variance over the image, strongest first."""
    variance = maps.reshape(len(maps), -1).astype(np.float64).var(axis=1)
    return [int(index) for index in np.argsort(-variance, kind="stable")[:number]]


def feature_grid_figure(grid: FeatureGrid, colour_map: str = FEATURE_COLOUR_MAP) -> Figure:
    """Draw the image and its maps; each map has its own scale from its minimum to its maximum."""
    check_colour_map(colour_map)
    width, height = grid.image.size
    panels = 1 + len(grid.maps)
    columns = min(COLUMNS, panels)
    rows = math.ceil(panels / columns)
    wide, tall = panel_inches(grid.image.size, PANEL_INCHES)
    title = wrapped(grid.title, wide * columns)
    head = TITLE_INCHES * (title.count("\n") + 2)
    step = tall + NAME_INCHES
    figure = Figure(figsize=(wide * columns, head + step * rows))
    axes = [
        axes_at(figure, wide * (panel % columns), head + step * (panel // columns) + NAME_INCHES, wide, tall)
        for panel in range(panels)
    ]
    axes[0].imshow(grid.image, extent=(0, width, height, 0))
    for each, low in zip(axes[1:], grid.maps, strict=True):
        _draw(each, low, grid.geometry, colour_map)
    for each, name in zip(axes, ("image", *grid.names), strict=True):
        each.set(xticks=[], yticks=[])
        each.set_axis_off()
        each.set_title(name, fontsize=8, loc="left", parse_math=False)
    figure.suptitle(title, y=1 - TITLE_INCHES / 2 / figure.get_figheight(), fontsize=9, color="0.35", parse_math=False)
    return figure


def _draw(axes: Axes, low: NDArray[Any], geometry: Geometry, colour_map: str) -> None:
    """Cells are shown as they are, at the part of the image that the model saw; nothing is smoothed."""
    rows, columns = geometry.input_size
    x0, y0, x1, y1 = geometry.boxes_to_image((0, 0, columns, rows)).tolist()
    axes.imshow(low, cmap=colour_map, interpolation="nearest", extent=(x0, x1, y1, y0))
    width, height = geometry.image_size
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
