"""The contents of a comparison's cells, in a terminal or on a page: numbers, their intervals, and which are best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from xtool.runs.columns import COSTS, Column, shown_columns
from xtool.runs.differences import leaders
from xtool.runs.resampling import Resampled

if TYPE_CHECKING:
    from xtool.runs.resampling import Interval
    from xtool.runs.summary import Summary
    from xtool.store.manifest import Identity

__all__ = ["MARKS", "Cell", "Line", "Mark", "cells", "on_same_images"]


Mark = Literal["*", "~", ""]

MARKS = "* best of its column; ~ may be the best: too close to tell from these images (paired, 95 %)."
"""What marks say."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One number."""

    value: float | None
    interval: Interval | None
    mark: Mark


@dataclass(frozen=True, slots=True)
class Line:
    """One method of one run."""

    identity: Identity
    method: str
    cells: tuple[Cell, ...]
    """One for each column."""


def cells(runs: Sequence[tuple[Identity, Summary]], *, detail: bool) -> tuple[list[Column], list[Line]]:
    """The columns of a comparison, and a line for each method of each run; ``detail`` as in :func:`shown_columns`."""
    columns = shown_columns([result.row for _, summary in runs for result in summary.methods], detail=detail)
    found: dict[int, tuple[Cell, ...]] = {}
    for rows in on_same_images(runs):
        marks = [_marks(column, rows) for column in columns]
        for row, result in enumerate(rows.results):
            intervals = rows.intervals(row)
            found[id(result)] = tuple(
                Cell(
                    column.value(result.row),
                    intervals.get(column.info.name) if column.info else None,
                    marked.get(row, ""),
                )
                for column, marked in zip(columns, marks, strict=True)
            )
    return columns, [
        Line(identity, result.method, found[id(result)]) for identity, summary in runs for result in summary.methods
    ]


def on_same_images(runs: Sequence[tuple[Identity, Summary]]) -> list[Resampled]:
    """The methods of all runs, those together that were measured on the same data set under the same protocol."""
    groups: dict[tuple[str, ...], list[Summary]] = {}
    for identity, summary in runs:
        key = (identity.dataset.name, identity.dataset.fingerprint, identity.protocol)
        groups.setdefault(key, []).append(summary)
    return [
        # A run's own resamples are shared by all who show it.
        group[0].resampled if len(group) == 1 else Resampled([each for one in group for each in one.methods])
        for group in groups.values()
    ]


def _marks(column: Column, rows: Resampled) -> dict[int, Mark]:
    """By row; none in a control's column, nor on the cost of a method that never looked at the image."""
    info = column.info
    if info is None or info.control:
        return {}
    compared = [
        row
        for row, result in enumerate(rows.results)
        if column.value(result.row) is not None and (info.unit not in COSTS or result.row.values["forwards_per_image"])
    ]
    if len(compared) < 2:
        return {}
    if any((info.name, row) in rows.values for row in compared):
        leading = leaders(rows, info.name)
        return dict.fromkeys(leading, "*" if len(leading) == 1 else "~")
    # Not made up of images: equal as printed is equally good.
    values = {row: column.value(rows.results[row].row) or 0.0 for row in compared}
    best = (max if info.direction == "higher" else min)(values.values())
    return {row: "*" for row, value in values.items() if column.show(value) == column.show(best)}
