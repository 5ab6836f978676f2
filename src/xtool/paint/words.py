"""The words of a text in the colours of what they did: warm where they speak for it, blue where against.

A number with its sign stands beside each, so that nothing depends on the colours.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import floor, log10

from xtool.engine.words import REMOVAL, Word

__all__ = ["AGAINST_SHADES", "FOR_SHADES", "largest_relevance", "runs", "signed", "word_colour", "words_note"]

FOR_SHADES, AGAINST_SHADES = ("#ff9d5c", "#d2691e"), ("#7ab0ff", "#3b82f6")
"""Behind black letters at full strength, at least 9:1; and as letters, at least 3.5:1 on white and on black."""


def largest_relevance(texts: Sequence[Sequence[Word]]) -> float:
    """The strongest relevance of any word, for or against: what has the full colour. Texts of one figure share it."""
    return max((abs(word.relevance) for words in texts for word in words), default=0.0)


def word_colour(relevance: float, largest: float) -> str:
    """The background ``#rrggbb`` of a word with black letters; white at 0."""
    strength = min(abs(relevance) / largest, 1.0) if largest > 0 else 0.0
    full, _ = FOR_SHADES if relevance > 0 else AGAINST_SHADES
    return "#" + "".join(f"{round(255 + (channel - 255) * strength):02x}" for channel in bytes.fromhex(full[1:]))


def signed(relevance: float, largest: float) -> str:
    """With its sign, to three decimals or as many as ``largest`` needs: ``+0.021``, ``−0.004``, ``0`` for 0.000."""
    decimals = 3 if largest <= 0 else min(max(3, 1 - floor(log10(largest))), 6)
    told = f"{abs(relevance):.{decimals}f}"
    return ("+" if relevance > 0 else "−") + told if float(told) else "0"


def runs(text: str, words: Sequence[Word]) -> list[tuple[Word | None, str]]:
    """The text in its order: each word with the punctuation behind it; before the first, punctuation without a word."""
    starts = [word.start for word in words]
    found: list[tuple[Word | None, str]] = [(None, text[: starts[0] if starts else None].strip())]
    for word, after in zip(words, [*starts[1:], len(text)], strict=True):
        found.append((word, text[word.end : after].strip()))
    return [run for run in found if any(run)]


def words_note(method: str) -> str:
    """What the numbers are, for people."""
    what = "what the cosine of image and text loses without it" if method == REMOVAL else f"its relevance by {method}"
    return f"A word's number is {what}"
