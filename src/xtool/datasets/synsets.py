"""ImageNet's classes: WordNet ids and their names."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from xtool.datasets.text import read_lines
from xtool.errors import DataError, UsageError

__all__ = ["MAPPING", "WORDNET_ID", "WORDS", "Synsets", "find_names"]

MAPPING = "LOC_synset_mapping.txt"
WORDS = "words.txt"
"""ImageNet's list of all WordNet ids with their names."""
WORDNET_ID = re.compile(r"n\d{8}")


@dataclass(frozen=True)
class Synsets:
    """Classes in the order of their WordNet ids, which is that of all published class numbers."""

    ids: tuple[str, ...]
    """``"n01440764"``, …"""
    names: tuple[tuple[str, ...], ...]
    """``("tench", "Tinca tinca")``, …"""

    @cached_property
    def rows(self) -> dict[str, int]:
        """The class number of each id."""
        return {synset: row for row, synset in enumerate(self.ids)}

    @classmethod
    def read(cls, path: Path) -> Synsets:
        """Read lines of ``n01440764 tench, Tinca tinca``, with a blank or a tab behind the id.

        Raises :class:`UsageError` for an unreadable file, and :class:`DataError` with the number of a line that is
        none of these or gives an id again.
        """
        rows: dict[str, tuple[str, ...]] = {}
        for number, line in enumerate(read_lines(path), start=1):
            if not line.strip():
                continue
            synset, *rest = line.split(maxsplit=1)
            listed = rest[0] if rest else ""
            names = tuple(dict.fromkeys(name.strip() for name in listed.split(",") if name.strip()))
            if not WORDNET_ID.fullmatch(synset) or not names:
                raise DataError(
                    os.fspath(path), f"line {number}: an id like n01440764 and names are wanted, got {line!r}"
                )
            if synset in rows:
                raise DataError(os.fspath(path), f"line {number}: {synset} is there twice")
            rows[synset] = names
        ids = tuple(sorted(rows))
        return cls(ids, tuple(rows[synset] for synset in ids))


def find_names(places: Sequence[Path]) -> dict[str, tuple[str, ...]]:
    """The names of WordNet ids, from ``LOC_synset_mapping.txt`` or ``words.txt`` in the first of the folders with one.

    Raises :class:`UsageError` where there is none, or for a line that is no id with names.
    """
    for path in (place / name for place in places for name in (MAPPING, WORDS)):
        if path.is_file():
            try:
                synsets = Synsets.read(path)
            except DataError as error:
                raise UsageError(str(error)) from error
            return dict(zip(synsets.ids, synsets.names, strict=True))
    looked = " and ".join(str(place) for place in places)
    raise UsageError(f"no names of classes: looked for {MAPPING} and {WORDS} in {looked}")
