"""The words of a text in the colours of what they did: warm where they speak for it, blue where against.

A number with its sign stands beside each, so that nothing depends on the colours.
"""

from __future__ import annotations

from collections.abc import Sequence

from xtool.engine.words import REMOVAL, Word

__all__ = ["largest_relevance", "runs", "signed", "word_colour", "words_note"]

FOR, AGAINST = (255, 157, 92), (122, 176, 255)
"""At full strength; black letters have at least 9:1 on either, and more on all that is paler."""


def largest_relevance(texts: Sequence[Sequence[Word]]) -> float:
    """The strongest relevance of any word, for or against: what has the full colour. Texts of one figure share it."""
    return max((abs(word.relevance) for words in texts for word in words), default=0.0)


def word_colour(relevance: float, largest: float) -> str:
    """The background ``#rrggbb`` of a word with black letters; white at 0."""
    strength = min(abs(relevance) / largest, 1.0) if largest > 0 else 0.0
    full = FOR if relevance > 0 else AGAINST
    return "#" + "".join(f"{round(255 + (channel - 255) * strength):02x}" for channel in full)


def signed(relevance: float) -> str:
    """With three decimals and its sign: ``+0.021``, ``−0.004``, or ``0`` for what is nearer to it."""
    told = f"{abs(relevance):.3f}"
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
