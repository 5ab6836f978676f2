"""The columns of a comparison, made from the metrics: how each is headed, read, printed and compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xtool.metrics.info import MetricInfo, Unit
from xtool.metrics.registry import METRICS

if TYPE_CHECKING:
    from xtool.runs.summary import Row

__all__ = ["COLUMNS", "Column", "best_of", "is_best", "show", "shown_columns"]

COSTS: tuple[Unit, ...] = ("seconds", "images")
"""Units of what a map costs."""

SIGNS: dict[Unit, str] = {"fraction": "%"}


@dataclass(frozen=True, slots=True)
class Column:
    """One number of a row."""

    title: str
    """With its unit, for a page."""
    wide: str
    """In lines of whole words, for a terminal with room."""
    narrow: str
    """In lines as short as its numbers, for a terminal of 80 columns."""
    value: Callable[[Row], float | None]
    show: Callable[[float], str]
    info: MetricInfo | None = None
    """``None`` for the threshold, which is a setting and no metric."""


def show(value: float, unit: Unit) -> str:
    """A number of this unit as people read it; fractions in percent."""
    if unit == "fraction":
        return f"{100 * value:.1f}"
    if unit == "images":
        return f"{value:,.0f}"
    return f"{value:.3f}" if value < 10 else f"{value:.1f}"


def _column(info: MetricInfo) -> Column:
    sign = SIGNS.get(info.unit, "")
    return Column(
        title=f"{info.title} {sign}".rstrip(),
        wide=f"{info.title}\n{sign}".rstrip(),
        narrow=f"{info.narrow or info.title}\n{sign}".rstrip(),
        value=lambda row: row.values[info.name],
        show=lambda value: show(value, info.unit),
        info=info,
    )


COLUMNS = (
    Column("threshold", "threshold", "thres-\nhold", lambda row: row.threshold, lambda value: f"{value:.2f}"),
    *(_column(metric.info) for metric in METRICS),
)


def shown_columns(rows: Sequence[Row], *, detail: bool) -> list[Column]:
    """Those with a number in any row; ``detail`` takes those too that a terminal has no room for."""
    return [
        column
        for column in COLUMNS
        if (detail or column.info is None or not column.info.detail)
        and any(column.value(row) is not None for row in rows)
    ]


def best_of(column: Column, rows: Sequence[Row]) -> float | None:
    """The best value of a column; ``None`` where there is nothing to compare.

    Methods that put no image through the model never looked: they are controls, and their cost is not compared.
    """
    info = column.info
    if info is None or info.control:
        return None
    compared = [row for row in rows if row.values["forwards_per_image"]] if info.unit in COSTS else rows
    values = [value for row in compared if (value := column.value(row)) is not None]
    if len(values) < 2:
        return None
    return max(values) if info.direction == "higher" else min(values)


def is_best(column: Column, value: float, best: float | None) -> bool:
    """By what is shown: two numbers that print alike are both the best."""
    return best is not None and column.show(value) == column.show(best)
