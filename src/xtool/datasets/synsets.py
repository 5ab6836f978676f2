"""ImageNet's classes: WordNet ids and their names."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from xtool.datasets.text import read_lines
from xtool.errors import DataError

__all__ = ["MAPPING", "WORDNET_ID", "Synsets"]

MAPPING = "LOC_synset_mapping.txt"
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
        """Read lines of ``n01440764 tench, Tinca tinca``.

        Raises :class:`UsageError` for an unreadable file, and :class:`DataError` with the number of a line that is
        none of these or gives an id again.
        """
        rows: dict[str, tuple[str, ...]] = {}
        for number, line in enumerate(read_lines(path), start=1):
            if not line.strip():
                continue
            synset, _, listed = line.strip().partition(" ")
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
