"""An answer as a figure: one row per text, one column per method, the image itself at the left."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from xtool.paint.heat import COLOUR_MAP, level_colours, resized
from xtool.paint.panel import BOX_COLOUR, EMPTY, HALO_COLOUR, PALE_BOX_COLOUR, PALE_HALO_COLOUR, MapPanel
from xtool.paint.word_strip import LINE_INCHES as WORDS_INCHES
from xtool.paint.word_strip import draw_words, word_lines
from xtool.paint.words import largest_relevance

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from PIL import Image

    from xtool.engine.words import Word

__all__ = ["PHOTO_SIDE", "axes_at", "maps_figure", "panel_inches", "wrapped"]

PHOTO_SIDE = 960
"""Pixels of a panel's longer side at most: sharp in print, and files stay small."""
HEAD_INCHES, FOOT_INCHES, BAR_INCHES, GAP_INCHES = 0.32, 0.5, 0.12, 0.06
PAPER = 0.93
"""Grey under the colour bar, like a light picture."""
LINE_INCHES, NOTE_INCHES = 0.17, 0.15
LETTER_INCHES, BOLD_INCHES = 0.085, 0.095
"""Width of an average letter at 10 points."""


def maps_figure(
    image: Image.Image,
    texts: Sequence[str],
    panels: Sequence[Sequence[MapPanel]],
    *,
    note: str,
    taken_for: Sequence[str] = (),
    words: Sequence[Sequence[Word]] | None = None,
    threshold: float | None = None,
    colour_map: str = COLOUR_MAP,
) -> Figure:
    """Draw maps over one image.

    Args:
        image: RGB.
        texts: [T] titles of the rows.
        panels: [T][M] maps, one row per text.
        note: a line below the figure: which model, how boxes were made.
        taken_for: [T] a line under the title of each row, what the model takes the text for; or none at all.
        words: [T] how much each word of a text mattered, in colours above its row; or nothing of that.
        threshold: marked on the colour bar.
        colour_map: a name that matplotlib knows.
    """
    photo = resized(image, PHOTO_SIDE) if max(image.size) > PHOTO_SIDE else image
    columns = 1 + max(len(row) for row in panels)
    width, height = panel_inches(image.size)
    # With its words above the row, a text is not repeated over the image.
    names = texts if words is None else [""] * len(texts)
    titles = [
        [wrapped(name, width, BOLD_INCHES), *(wrapped(panel.title, width) for panel in row)]
        for name, row in zip(names, panels, strict=True)
    ]
    above = [HEAD_INCHES + LINE_INCHES * max(title.count("\n") + 1 for title in row) for row in titles]
    heads = [word_lines(*each, width * columns) for each in zip(texts, words or (), strict=False)]
    heads = heads or [[] for _ in texts]
    foot = wrapped(note, width * columns)
    below = FOOT_INCHES + NOTE_INCHES * (foot.count("\n") + 1)
    strips = [WORDS_INCHES * len(head) for head in heads]
    figure = Figure(figsize=(width * columns, sum(strips) + sum(above) + height * len(above) + below))
    top = 0.0
    for row, (head, strip) in enumerate(zip(heads, strips, strict=True)):
        if head:
            draw_words(axes_at(figure, 0, top, width * columns, strip), head, largest_relevance(words or ()))
        top += strip + above[row]
        first, *others = (axes_at(figure, column * width, top, width, height) for column in range(1 + len(panels[row])))
        _draw(first, photo, image.size)
        _title(first, titles[row][0], bold=True)
        _line_under_title(first, wrapped(taken_for[row] if taken_for else "", width, lines=1), "0.35")
        for axes, panel, title in zip(others, panels[row], titles[row][1:], strict=True):
            _draw_panel(axes, panel, photo, image.size, colour_map)
            _title(axes, title)
        top += height
    bar = axes_at(figure, width, top + GAP_INCHES, width * (columns - 1), BAR_INCHES)
    _colour_bar(figure, bar, colour_map, threshold)
    figure.supxlabel(foot, y=GAP_INCHES / figure.get_figheight(), fontsize=9, color="0.35")
    return figure


def axes_at(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes at a place in inches from the upper left corner, with a gap at both sides.

    Matplotlib's own layouts measure and solve, which takes minutes for hundreds of axes.
    """
    across, down = figure.get_size_inches()
    inner = width - 2 * GAP_INCHES
    return figure.add_axes(((left + GAP_INCHES) / across, 1 - (top + height) / down, inner / across, height / down))


def panel_inches(size: tuple[int, int], standard: float = 3.2) -> tuple[float, float]:
    """Width and height of a panel for an image of ``size`` (width, height): about equal areas, neither side extreme."""
    aspect = size[0] / size[1]
    width = standard * min(max(np.sqrt(aspect), 0.75), 1.75)
    return width, min(width / aspect, 1.3 * standard)


def wrapped(text: str, inches: float, letter: float = LETTER_INCHES, lines: int = 3) -> str:
    """Text in lines that fit the width; what needs more than ``lines`` of them ends in "…"."""
    # A method's options may be parted at their colons: "vlscore:top_k=256:layer=…" has no blank to break at.
    parted = re.sub(r":(?=\S)", ":\x00 ", text)
    filled = textwrap.fill(parted, max(8, int(inches / letter)), max_lines=lines, placeholder=" …")
    return filled.replace("\x00 ", "").replace("\x00", "")


def _draw(axes: Axes, picture: Image.Image, size: tuple[int, int]) -> None:
    axes.imshow(np.asarray(picture), extent=(0, size[0], size[1], 0))
    axes.set_anchor("NW")  # below the beginning of its title, however narrow it is
    axes.set(xticks=[], yticks=[])  # not shown, and they would be measured all the same
    axes.set_axis_off()


def _draw_panel(axes: Axes, panel: MapPanel, photo: Image.Image, size: tuple[int, int], colour_map: str) -> None:
    _draw(axes, panel.painted(photo, colour_map), size)
    verdict = panel.verdict
    _line_under_title(axes, verdict.words, verdict.colour)
    pale = ((PALE_HALO_COLOUR, "-", 1.2), (PALE_BOX_COLOUR, "--", 1.2))
    lines = pale if verdict.faded else ((HALO_COLOUR, "-", 3.0), (BOX_COLOUR, "-", 1.5))
    for x0, y0, x1, y1 in panel.boxes.tolist():
        for colour, style, thick in lines:
            axes.add_patch(
                Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=colour, linestyle=style, linewidth=thick)
            )
    if panel.empty:
        box = {"facecolor": "white", "edgecolor": "0.6", "boxstyle": "round,pad=0.4"}
        axes.text(0.5, 0.5, EMPTY, transform=axes.transAxes, ha="center", va="center", fontsize=8, bbox=box)


def _title(axes: Axes, text: str, *, bold: bool = False) -> None:
    # The pad leaves a line: for what the text was taken for, and for the verdicts.
    weight = "bold" if bold else "normal"
    axes.set_title(text, fontsize=10, loc="left", parse_math=False, pad=18, fontweight=weight)


def _line_under_title(axes: Axes, text: str, colour: str) -> None:
    axes.annotate(
        text, (0, 1), (0, 4), xycoords="axes fraction", textcoords="offset points", fontsize=9,
        color=colour, annotation_clip=False,
    )  # fmt: skip


def _colour_bar(figure: Figure, axes: Axes, colour_map: str, threshold: float | None) -> None:
    """The colours as they lie over a light picture, with the height that boxes are cut at."""
    colours = level_colours(colour_map).astype(float) / 255
    over_paper = ListedColormap(colours[:, :3] * colours[:, 3:] + PAPER * (1 - colours[:, 3:]))
    bar = figure.colorbar(ScalarMappable(cmap=over_paper), cax=axes, orientation="horizontal")
    ticks = {0.0: "0", 1.0: "maximum"}
    if threshold is not None:
        axes.axvline(threshold, color="black", linewidth=1)
        if 0.2 <= threshold <= 0.6:  # elsewhere its words would touch the others'
            ticks[threshold] = f"boxes {threshold:g}"
    bar.set_ticks(list(ticks), labels=list(ticks.values()), fontsize=8)
    first, last = axes.get_xticklabels()[:2]
    first.set_horizontalalignment("left")
    last.set_horizontalalignment("right")
    axes.spines[:].set_visible(False)
