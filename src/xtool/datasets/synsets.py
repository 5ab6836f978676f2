"""ImageNet's classes: WordNet ids and their names."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from xtool.errors import DataError

__all__ = ["MAPPING", "Synsets"]

MAPPING = "LOC_synset_mapping.txt"


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
        """Read lines of ``n01440764 tench, Tinca tinca``. Raises :class:`DataError` with the line's number."""
        try:
            lines = path.read_text("utf-8").splitlines()
        except (OSError, ValueError) as error:
            raise DataError(os.fspath(path), f"cannot be read ({error})") from error
        rows = []
        for number, line in enumerate(lines, start=1):
            synset, _, listed = line.strip().partition(" ")
            names = tuple(dict.fromkeys(name.strip() for name in listed.split(",") if name.strip()))
            if line.strip() and not names:
                raise DataError(os.fspath(path), f"line {number}: a WordNet id and names are wanted, got {line!r}")
            if names:
                rows.append((synset, names))
        rows.sort()
        return cls(tuple(synset for synset, _ in rows), tuple(names for _, names in rows))
