"""Your own images: a CSV or JSONL with one row per image and label, or per phrase.

A CSV may be separated by commas, semicolons or tabs. Columns (JSONL: keys), in upper or lower case:

- ``image``: path of the picture, relative to the table
- ``label``: what to look for; or instead of it
- ``phrase``: what to look for, in words that only this image is asked for ("the man on the left"). Each row is then a
  sample, also where phrases are repeated, and the table has no classes
- ``boxes``: true boxes, half-open ``x0 y0 x1 y1`` in pixels of the upright image, several separated by ``;``
  (JSONL: a list of lists). Rows with the same image and label are merged, so one row per box works too
- ``xmin``, ``ymin``, ``xmax``, ``ymax`` instead of ``boxes``: one box, half-open as well
- ``synonyms`` (may be left out): other names, separated by ``;`` (JSONL: a list)
- ``absent`` (may be left out): something that is certainly not in the image
- ``distractor`` (may be left out): something else that is in the image
- ``mask`` (may be left out): path of a picture of the image's size, not black where the object is

Other columns are ignored. The distinct labels are the data set's classes, if there are at least two.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xtool.contracts.protocols import Sample
from xtool.datasets.files import Folder, open_stored
from xtool.datasets.placing import place_boxes
from xtool.datasets.text import read_text
from xtool.errors import DataError, UsageError
from xtool.image.files import Frame, open_image

__all__ = ["Table", "open_table"]

SUFFIXES = (".csv", ".tsv", ".jsonl")
REQUIRED = ("image", "label", "boxes")
PHRASE = "phrase"
CORNERS = ("xmin", "ymin", "xmax", "ymax")
SEPARATORS = ",;\t"


@dataclass(frozen=True, slots=True)
class _Row:
    """A line of the table, with lists as lists; or why it cannot be used."""

    line: int
    image: str = ""
    label: str = ""
    phrase: bool = False
    """Whether the label is a phrase, which stands alone."""
    boxes: tuple[tuple[float, ...], ...] = ()
    synonyms: tuple[str, ...] = ()
    absent: str | None = None
    distractor: str | None = None
    mask: str | None = None
    problem: str | None = None


class Table:
    """One sample for each image and label, in the order of the table."""

    def __init__(self, path: Path, rows: Sequence[Sequence[_Row]]) -> None:
        self.path = path
        self.rows = rows
        self.images = Folder(path.parent)
        names: dict[str, tuple[str, ...]] = {}
        for first, *_ in rows:
            if not first.problem and not first.phrase:
                names.setdefault(first.label, (first.label, *first.synonyms))
        self.names = names

    @property
    def name(self) -> str:
        return f"table:{self.path.stem}"

    @property
    def classes(self) -> Sequence[tuple[str, ...]]:
        return list(self.names.values()) if len(self.names) > 1 else []

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Sample:
        rows = self.rows[index]
        first = rows[0]
        if first.problem:
            raise DataError(os.fspath(self.path), f"line {first.line}: {first.problem}")
        frame = self.images.frame(first.image)
        boxes = np.array([box for row in rows for box in row.boxes], np.float64).reshape(-1, 4)
        upright = Frame(frame.size, 1)
        mask = partial(_open_mask, self.path.parent / first.mask, frame.size) if first.mask else None
        return Sample(
            id=f"{first.image}#{_own_part(first)}",
            open=open_stored(self.images, first.image),
            label=first.label,
            synonyms=tuple(dict.fromkeys((first.label, *first.synonyms))),
            boxes=place_boxes(boxes, upright, f"{self.path}, line {first.line}"),
            class_index=list(self.names).index(first.label) if len(self.names) > 1 and not first.phrase else None,
            absent=first.absent,
            distractor=first.distractor,
            open_mask=mask,
        )

    def fingerprint(self) -> str:
        """Hash of all rows."""
        return hashlib.sha256(repr(self.rows).encode()).hexdigest()[:16]


def open_table(data_dir: Path | None, split: str | None = None) -> Table:
    """Open a table, or the only one in a folder; ``split`` picks ``<split>.csv`` or ``<split>.jsonl`` of several.

    Raises :class:`UsageError` for no table, several, or one without the columns that are needed.
    """
    if data_dir is None:
        raise UsageError("table needs --data-dir, a CSV or JSONL file or the folder that contains it")
    path = _the_table(Path(data_dir), split)
    text = read_text(path)
    lines = _jsonl(text) if path.suffix.lower() == ".jsonl" else _csv(path, text)
    groups: dict[tuple[str, str, int | None], list[_Row]] = {}
    for row in lines:
        key = (row.image, row.label, row.line if row.problem or row.phrase else None)
        groups.setdefault(key, []).append(row)
    return Table(path, list(groups.values()))


def _the_table(given: Path, split: str | None) -> Path:
    if given.is_file():
        return given
    tables = sorted(path for path in given.glob("*") if path.suffix.lower() in SUFFIXES)
    if split is not None:
        tables = [path for path in tables if path.stem == split]
    if len(tables) != 1:
        found = ", ".join(path.name for path in tables) or "none"
        raise UsageError(f"{given}: one {split or '*'}.csv or {split or '*'}.jsonl is wanted there, found {found}")
    return tables[0]


def _csv(path: Path, text: str) -> Iterator[_Row]:
    header = text.partition("\n")[0]
    # A header names columns, so that its most frequent separator is the table's; a cell may hold others.
    separator = max(SEPARATORS, key=header.count)
    reader = csv.reader(StringIO(text), delimiter=separator, skipinitialspace=True)
    try:
        columns = [name.strip().lower() for name in next(reader, [])]
        there = {*columns}
        there |= {"boxes"} if {*CORNERS} <= there else set()
        there |= {"label"} if PHRASE in there else set()
        missing = [column for column in REQUIRED if column not in there]
        if missing:
            raise UsageError(f"{path}: line 1 has no column {', '.join(missing)}; it has {', '.join(columns)}")
        for cells in filter(None, reader):
            yield _row(reader.line_num, {key: value for key, value in zip(columns, cells, strict=False) if value})
    except csv.Error as error:
        raise UsageError(f"{path}: line {reader.line_num}: not a CSV ({error}); is a quote left open?") from error


def _jsonl(text: str) -> Iterator[_Row]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                fields = json.loads(line)
            except (ValueError, RecursionError) as error:
                yield _Row(number, problem=f"not JSON ({error})")
                continue
            if isinstance(fields, dict):
                yield _row(number, {key.strip().lower(): value for key, value in fields.items()})
            else:
                yield _Row(number, problem="not a JSON object")


def _row(line: int, fields: Mapping[str, Any]) -> _Row:
    try:
        if "boxes" not in fields and all(corner in fields for corner in CORNERS):
            fields = {**fields, "boxes": [[fields[corner] for corner in CORNERS]]}
        phrase = bool(fields.get(PHRASE))
        if phrase:
            if fields.get("label"):
                raise ValueError("a label and a phrase; one of the two is wanted")
            fields = {**fields, "label": fields[PHRASE]}
        missing = [column for column in REQUIRED if fields.get(column) in (None, "", [])]
        if missing:
            raise ValueError(f"no {', '.join(missing)}")
        texts = {key: _text(key, fields[key]) for key in ("absent", "distractor", "mask") if fields.get(key)}
        return _Row(
            line,
            _text("image", fields["image"]),
            _text("label", fields["label"]),
            phrase,
            _boxes(fields["boxes"]),
            tuple(_text("synonyms", name) for name in _several(fields.get("synonyms") or [])),
            **texts,
        )
    except (ValueError, TypeError, OverflowError) as error:
        return _Row(line, problem=str(error))


def _text(key: str, value: Any) -> str:
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        raise ValueError(f"{key} must be a text, not {value!r}")
    return str(value).strip()


def _boxes(cell: Any) -> tuple[tuple[float, ...], ...]:
    boxes = tuple(tuple(float(v) for v in (b.split() if isinstance(b, str) else b)) for b in _several(cell))
    if not boxes or any(len(box) != 4 for box in boxes):
        raise ValueError(f"boxes of four numbers x0 y0 x1 y1 are wanted, got {cell!r}")
    return boxes


def _several(cell: Any) -> list[Any]:
    return [part for part in cell.split(";") if part.strip()] if isinstance(cell, str) else list(cell)


def _own_part(row: _Row) -> str:
    """Tells apart the samples of one image: phrases may be repeated, and a # would divide the id elsewhere."""
    return f"line {row.line}" if row.phrase else row.label.replace("#", "%23")


def _open_mask(path: Path, size: tuple[int, int]) -> NDArray[np.bool_]:
    mask = np.asarray(open_image(path)).any(axis=2)
    if mask.shape != size[::-1]:
        raise DataError(os.fspath(path), f"the mask is {mask.shape[::-1]}, the image {size}")
    result: NDArray[np.bool_] = mask
    return result
