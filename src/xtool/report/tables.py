"""Rows of the page's tables, as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from xtool.runs.columns import Column, show_interval
from xtool.runs.differences import INFO, Comparison, Difference, compared

if TYPE_CHECKING:
    from xtool.runs.cells import Line
    from xtool.runs.run import Run

__all__ = ["difference_tables", "table_row"]

COMPARED = ("gt_known", "box_iou", "pointing", "presence")
"""Metrics in which the page compares methods pair by pair; JSON has all."""


def table_row(columns: Sequence[Column], line: Line) -> dict[str, Any]:
    """One method's numbers, marks and intervals."""
    return {
        "where": (line.identity.dataset.name, line.identity.encoder.name, line.identity.protocol),
        "method": line.method,
        "cells": [
            {
                "text": "–" if cell.value is None else column.show(cell.value),
                "mark": cell.mark,
                "interval": show_interval(*cell.interval, column.info.unit) if cell.interval and column.info else "",
            }
            for column, cell in zip(columns, line.cells, strict=True)
        ],
    }


def difference_tables(run: Run) -> list[dict[str, Any]]:
    """For each method that others are compared with: its name, titles of metrics, and a row for each of the others."""
    tables: dict[str, list[Comparison]] = {}
    for comparison in compared(run.resampled):
        tables.setdefault(comparison.against, []).append(comparison)
    return [_difference_table(against, rows) for against, rows in tables.items()]


def _difference_table(against: str, rows: Sequence[Comparison]) -> dict[str, Any]:
    names = [name for name in COMPARED if any(name in each.differences for each in rows)]
    return {
        "against": against,
        "titles": [INFO[name].title for name in names],
        "rows": [
            (each.method, [_told(each.differences[name]) if name in each.differences else None for name in names])
            for each in rows
        ],
    }


def _told(difference: Difference) -> dict[str, str]:
    value, low, high = (_points(each) for each in (difference.value, difference.low, difference.high))
    p = difference.p
    return {
        "value": value,
        "interval": f"{low} to {high}",
        "p": "" if p is None else "p < 0.001" if p < 0.001 else f"p = {p:.3f}",
        "sign": ("found" if difference.value > 0 else "missed") if difference.clear else "",
    }


def _points(fraction: float) -> str:
    text = f"{100 * fraction:+.1f}"
    return "0.0" if float(text) == 0 else text.replace("-", "−")
