"""The comparison as a table for a terminal. Rich measures, wraps and colours them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.jupyter import JupyterMixin
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from xtool.runs.columns import Column, best_of, is_best, shown_columns

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

    from xtool.runs.manifest import Identity
    from xtool.runs.summary import Row, Summary

__all__ = ["ComparisonTable"]


class ComparisonTable(JupyterMixin):
    """One table over one or more runs, to be printed with Rich.

    Columns without a number are left out, the best of each is marked, and headings are cut only where the terminal
    has no room for whole words.
    """

    def __init__(self, runs: Sequence[tuple[Identity, Summary]]) -> None:
        self._runs = runs

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        wide = self._table(narrow=False)
        needed = Measurement.get(console, options.update(max_width=1000), wide).maximum
        yield wide if needed <= options.max_width else self._table(narrow=True)

    def _table(self, *, narrow: bool) -> Table:
        runs = self._runs
        several = len(runs) > 1
        table = Table(
            box=box.SIMPLE_HEAD,
            title=_title(runs),
            title_justify="left",
            caption_justify="left",
            padding=0,
            pad_edge=False,
        )
        for title in ("data set", "encoder", "protocol") if several else ():
            table.add_column(title)
        table.add_column("method", style="bold", overflow="fold", min_width=8)
        rows = [result.row for _, summary in runs for result in summary.methods]
        shown = shown_columns(rows, detail=False)
        for column in shown:
            table.add_column(column.narrow if narrow else column.wide, justify="right", no_wrap=True)
        table.caption = _caption(runs, shown)
        best = {column.title: best_of(column, rows) for column in shown}
        for identity, summary in runs:
            where = (identity.dataset.name, identity.encoder.name, identity.protocol) if several else ()
            for result in summary.methods:
                cells = (_cell(column, result.row, best[column.title]) for column in shown)
                table.add_row(*map(Text, where), Text(result.method), *cells)
        return table


def _cell(column: Column, row: Row, best: float | None) -> Text:
    value = column.value(row)
    if value is None:
        return Text("–", style="dim")
    marked = is_best(column, value, best)
    return Text(column.show(value) + ("*" if marked else " "), style="bold green" if marked else "")


def _title(runs: Sequence[tuple[Identity, Summary]]) -> str:
    if len(runs) > 1:
        return "Comparison of runs"
    ((identity, summary),) = runs
    encoder = identity.encoder
    return (
        f"{encoder.name} ({encoder.weights}) on {identity.dataset.name}, {summary.images} images, "
        f"protocol {identity.protocol}"
    )


def _caption(runs: Sequence[tuple[Identity, Summary]], shown: Sequence[Column]) -> str:
    chosen = any(summary.threshold is None for _, summary in runs)
    notes = ["* best." + (" Threshold: each method's best of the sweep on these very images." if chosen else "")]
    notes += [f"{column.info.title}: {column.info.summary}" for column in shown if column.info and column.info.control]
    if not all(identity.encoder.trained for identity, _ in runs):
        notes.append(
            "This encoder has random weights: the numbers show that the program works, not where a model looks."
        )
    failed = sum(len(summary.failures) for _, summary in runs)
    if failed:
        notes.append(f"{failed} image(s) could not be used; their files and reasons are in the records.")
    return "\n".join(notes)
