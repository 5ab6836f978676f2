"""A text as the head of its row in a figure: its words in colours, each with its number below."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from matplotlib.offsetbox import AnchoredOffsetbox, HPacker, TextArea, VPacker

from xtool.engine.words import Word
from xtool.paint.words import runs, signed, word_colour

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

__all__ = ["LINE_INCHES", "draw_words", "word_lines"]

LINE_INCHES = 0.42
"""Of one line of words with their numbers."""
LETTER_INCHES, GAP_INCHES = 0.085, 0.14
"""Width of an average letter at 10 points, and of what parts two words."""
NARROWEST = 5
"""Letters of the narrowest word: its number needs as much."""

Run = tuple[Word | None, str]
"""A word, and the punctuation behind it."""


def word_lines(text: str, words: Sequence[Word], inches: float) -> list[list[Run]]:
    """A text broken into lines that fit the width."""
    lines: list[list[Run]] = [[]]
    left = inches
    for word, sign in runs(text, words):
        letters = len(sign) + (0 if word is None else max(len(word.word), NARROWEST))
        width = letters * LETTER_INCHES + GAP_INCHES
        if width > left and lines[-1]:
            lines.append([])
            left = inches
        lines[-1].append((word, sign))
        left -= width
    return lines


def draw_words(axes: Axes, lines: Sequence[Sequence[Run]], largest: float) -> None:
    """Write lines at the upper left of axes; ``largest`` is the relevance that has the full colour."""
    axes.set_axis_off()
    packed: list[Artist] = [
        HPacker(children=[_drawn(*run, largest) for run in line], align="top", pad=0, sep=10) for line in lines
    ]
    head = AnchoredOffsetbox(
        "upper left", child=VPacker(children=packed, align="left", pad=0, sep=5), frameon=False, pad=0, borderpad=0
    )
    head.set_in_layout(False)
    axes.add_artist(head)


def _drawn(word: Word | None, sign: str, largest: float) -> Artist:
    behind = _letters(sign, fontsize=10, color="0.2")
    if word is None:
        return behind
    box = {"facecolor": word_colour(word.relevance, largest), "edgecolor": "none", "boxstyle": "round,pad=0.25"}
    drawn: Artist = _letters(word.word, fontsize=10, fontweight="bold", bbox=box)
    if sign:
        drawn = HPacker(children=[drawn, behind], align="baseline", pad=0, sep=4)
    number = _letters(signed(word.relevance, largest), fontsize=7.5, color="0.3")
    return VPacker(children=[drawn, number], align="center", pad=0, sep=4)


def _letters(text: str, **how: Any) -> TextArea:
    return TextArea(text, textprops={"parse_math": False, **how})
