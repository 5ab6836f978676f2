"""Heat maps and boxes drawn over an image: one row per text, one column per method."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from xtool.explanation import Explanation

COLOUR_MAP = "turbo"
BOX_COLOUR = "#ffffff"
PANEL_INCHES = 3.2


def explanation_figure(explanations: Sequence[Explanation], threshold: float) -> Figure:
    """Draw explanations of one image and the same texts, one per method; the image itself stands at the left."""
    first = explanations[0]
    width, height = first.image.size
    rows, columns = len(first.texts), 1 + len(explanations)
    panel_height = PANEL_INCHES * min(max(height / width, 0.4), 2.0) + 0.45
    figure = Figure(figsize=(PANEL_INCHES * columns, panel_height * rows + 0.3), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for row, text in enumerate(first.texts):
        _draw_image(grid[row][0], first)
        grid[row][0].set_title(text, fontsize=10, loc="left", wrap=True, parse_math=False)
        for column, explanation in enumerate(explanations, start=1):
            draw_overlay(grid[row][column], explanation, row, threshold)
    figure.suptitle(f"{first.encoder}, boxes at {threshold:g} of the maximum", fontsize=9, color="0.35")
    return figure


def draw_overlay(axes: Axes, explanation: Explanation, row: int, threshold: float) -> None:
    """Draw one text's heat map and boxes; a text that the method does not find is said to be absent."""
    _draw_image(axes, explanation)
    verdict = "" if explanation.present is None else "present" if explanation.present[row] else "absent"
    axes.set_title(explanation.method, fontsize=10, loc="left", parse_math=False)
    axes.set_title(verdict, fontsize=10, loc="right", color="#1a7f37" if verdict == "present" else "#b42318")
    heat = explanation.maps[row]
    if not heat.any():
        return
    width, height = explanation.image.size
    axes.imshow(heat, cmap=COLOUR_MAP, vmin=0, vmax=1, alpha=0.5, extent=(0, width, height, 0))
    for x0, y0, x1, y1 in explanation.boxes(threshold)[row]:
        for colour, line in (("#000000", 3.0), (BOX_COLOUR, 1.5)):
            axes.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=colour, linewidth=line))


def _draw_image(axes: Axes, explanation: Explanation) -> None:
    width, height = explanation.image.size
    axes.imshow(explanation.image, extent=(0, width, height, 0))
    axes.set_axis_off()
