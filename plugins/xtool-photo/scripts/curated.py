"""Reads ``curated.txt``: meanings written by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from meanings import Weights, mixture

FILE = Path(__file__).with_name("curated.txt")

Lines = list[tuple[tuple[str, ...], tuple[tuple[float, str], ...]]]
"""Words on the left, and weighted parts on the right; no parts for what no class means."""


def read_curated(file: Path = FILE) -> Lines:
    found = []
    for line in file.read_text(encoding="utf-8").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        left, _, right = line.partition(" = ")
        words = tuple(word.strip() for word in left.split("|"))
        parts = () if right.strip() == "-" else tuple(_part(part.strip()) for part in right.split(","))
        found.append((words, parts))
    return found


def _part(text: str) -> tuple[float, str]:
    name, star, times = text.partition("*")
    return (float(times) if star else 1.0), name


def resolve(
    parts: Sequence[tuple[float, str]], class_names: Sequence[str], word: Callable[[str], Weights | None]
) -> Weights:
    """Weights of the right side of a line. Raises :class:`ValueError` for what is neither a class nor a word."""
    found = []
    for share, name in parts:
        stem, _, number = name.partition("#")
        rows = [row for row, own in enumerate(class_names) if own == stem]
        if number:
            rows = [row for row in rows if row == int(number)]
        if len(rows) == 1:
            found.append((share, {rows[0]: 1.0}))
        elif not rows and not number and (weights := word(name)):
            found.append((share, weights))
        else:
            raise ValueError(f"{name!r} is no class, several classes, or no word")
    return mixture(found)
