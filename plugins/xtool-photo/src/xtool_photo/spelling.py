"""One typing error: a letter too many, too few, a wrong one, or two swapped."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["SHORTEST", "corrected"]

SHORTEST = 6
"""Letters; among shorter words a neighbour is chance."""


def corrected(word: str, known: Iterable[str]) -> str | None:
    """The only known word one typing error away with the same first letter; ``None`` if there is none, or several."""
    if len(word) < SHORTEST or not word.isalpha():
        return None
    found = {
        other
        for other in known
        if other[0] == word[0] and abs(len(other) - len(word)) <= 1 and len(other) >= SHORTEST and one_slip(word, other)
    }
    return found.pop() if len(found) == 1 else None


def one_slip(word: str, other: str) -> bool:
    """Whether one insertion, deletion, replacement or swap of neighbours turns one word into the other."""
    start = next((i for i, (a, b) in enumerate(zip(word, other, strict=False)) if a != b), min(len(word), len(other)))
    a, b = word[start:], other[start:]
    return bool(a or b) and (a[1:] == b or a == b[1:] or a[1:] == b[1:] or (a[:2] == b[1::-1] and a[2:] == b[2:]))
