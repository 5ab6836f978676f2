"""Markdown tables that are printed row by row, so that an interruption loses nothing."""

from __future__ import annotations

from collections.abc import Sequence


def say(text: str = "") -> None:
    """Print a line at once."""
    print(text, flush=True)


class Table:
    """A table whose head is printed when it is made; call it with the cells of each row."""

    def __init__(self, *columns: str) -> None:
        self._columns = columns
        say()
        self(*columns)
        self(*["---"] * len(columns))

    def __call__(self, *cells: object) -> None:
        if len(cells) != len(self._columns):
            raise ValueError(f"{len(cells)} cells for {len(self._columns)} columns: {cells}")
        say(f"| {' | '.join(map(_cell, cells))} |")


def count(scored: int, whole: int) -> str:
    """``"256 of 2,048"``, or only the number where it is all of them."""
    return f"{whole:,}" if scored == whole else f"{scored:,} of {whole:,}"


def listing(words: Sequence[str]) -> str:
    """``"a, b and c"``."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def _cell(value: object) -> str:
    if not isinstance(value, float):
        return "–" if value is None else str(value)
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.{3 if abs(value) < 1 else 2 if abs(value) < 10 else 1}f}"
