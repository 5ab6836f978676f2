"""The columns of a comparison, made from the metrics: how each is headed, read and printed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xtool.metrics.info import MetricInfo, Unit
from xtool.metrics.registry import METRICS

if TYPE_CHECKING:
    from xtool.runs.rows import Row

__all__ = ["COLUMNS", "COSTS", "Column", "show", "show_interval", "shown_columns"]

COSTS: tuple[Unit, ...] = ("seconds", "images")
"""Units of what a map costs."""

COARSE = 0.04
"""Intervals of fractions at least this wide lose nothing that matters by whole percents."""

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


def show_interval(low: float, high: float, unit: Unit, *, short: bool = False) -> str:
    """An interval of this unit; ``short`` in whole percents where these say enough."""
    if unit == "fraction" and short and high - low >= COARSE:
        return f"{100 * low:.0f}–{100 * high:.0f}"
    return f"{show(low, unit)}–{show(high, unit)}"


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
