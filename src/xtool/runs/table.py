"""The comparison as a table for a terminal. Rich measures, wraps and colours them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.jupyter import JupyterMixin
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from xtool.runs.cells import MARKS, Cell, Line, cells
from xtool.runs.columns import Column, show_interval

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

    from xtool.runs.summary import Summary
    from xtool.store.manifest import Identity

__all__ = ["ComparisonTable"]


TELLING: dict[str, Callable[[Identity], str]] = {
    "data set": lambda identity: identity.dataset.name,
    "encoder": lambda identity: f"{identity.encoder.name} ({identity.encoder.weights})",
    "features from": lambda identity: ", ".join(identity.features_from) or "itself",
    "input": lambda identity: "×".join(map(str, identity.encoder.input_size)),
    "fit": lambda identity: identity.fit,
    "protocol": lambda identity: identity.protocol,
}
"""What tells runs apart, by the heading of its column."""


class ComparisonTable(JupyterMixin):
    """One table over one or more runs, to be printed with Rich.

    Columns without a number are left out, and headings are cut only where the terminal has no room for whole words.
    ``intervals`` puts the 95 % interval below each number.
    """

    def __init__(self, runs: Sequence[tuple[Identity, Summary]], *, intervals: bool = False) -> None:
        self._runs = runs
        self._intervals = intervals

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        shown, lines = cells(self._runs, detail=False)
        for narrow in (False, True):
            table = self._table(shown, lines, narrow=narrow)
            if Measurement.get(console, options.update(max_width=1000), table).maximum <= options.max_width:
                yield table
                return
        # No room for a line that says which run it is of.
        for identity, summary in self._runs:
            own = [line for line in lines if line.identity is identity]
            table = self._table(shown, own, narrow=True)
            table.title = _heading(_title(identity, summary))
            if identity is not self._runs[-1][0]:
                table.caption = None
            yield table

    def _table(self, shown: Sequence[Column], lines: Sequence[Line], *, narrow: bool) -> Table:
        where = _varying([line.identity for line in lines])
        table = Table(
            box=box.SIMPLE_HEAD,
            title=_heading(_title(*self._runs[0]) if len(self._runs) == 1 else _common_title(self._runs)),
            title_justify="left",
            caption_justify="left",
            padding=0,
            pad_edge=False,
        )
        for title in where:
            table.add_column(title)
        table.add_column("method", style="bold", overflow="fold", min_width=8)
        for column in shown:
            table.add_column(column.narrow if narrow else column.wide, justify="right", no_wrap=True)
        # As Text, in which square brackets of names and reasons are no markup.
        table.caption = Text(_caption(self._runs, shown, intervals=self._intervals), style="table.caption")
        for line in lines:
            numbers = (self._cell(column, cell) for column, cell in zip(shown, line.cells, strict=True))
            table.add_row(*(Text(of(line.identity)) for of in where.values()), Text(line.method), *numbers)
        return table

    def _cell(self, column: Column, cell: Cell) -> Text:
        if cell.value is None:
            return Text("– ", style="dim")
        text = Text(column.show(cell.value) + (cell.mark or " "), style="bold green" if cell.mark == "*" else "")
        if self._intervals and cell.interval and column.info:
            text.append("\n" + show_interval(*cell.interval, column.info.unit, short=True) + " ", style="not bold dim")
        return text


def _varying(identities: Sequence[Identity]) -> dict[str, Callable[[Identity], str]]:
    """Which of the things that tell runs apart do so here."""
    return {title: of for title, of in TELLING.items() if len({of(identity) for identity in identities}) > 1}


def _heading(title: str) -> Text:
    return Text(title, style="table.title")


def _title(identity: Identity, summary: Summary) -> str:
    return (
        f"{TELLING['encoder'](identity)} on {identity.dataset.name}, {summary.images} images, "
        f"protocol {identity.protocol}"
    )


def _common_title(runs: Sequence[tuple[Identity, Summary]]) -> str:
    identities = [identity for identity, _ in runs]
    varying = _varying(identities)
    common = [TELLING[title](identities[0]) for title in ("data set", "encoder", "protocol") if title not in varying]
    return ": ".join(["Comparison of runs", ", ".join(common)] if common else ["Comparison of runs"])


def _caption(runs: Sequence[tuple[Identity, Summary]], shown: Sequence[Column], *, intervals: bool) -> str:
    chosen = any(summary.threshold is None for _, summary in runs)
    notes = [MARKS]
    if intervals:
        notes.append("Below each number: its 95 % interval, at this threshold, over images like these.")
    if chosen:
        notes.append("Threshold: for each method the best of the sweep, chosen on these same images.")
    notes += [f"{column.info.title}: {column.info.summary}" for column in shown if column.info and column.info.control]
    asked = {name for identity, _ in runs for name in identity.metrics}
    there = {column.info.name for column in shown if column.info}
    notes += [f"No {name}: nothing in these data to measure it on (masks, classes)." for name in sorted(asked - there)]
    others = [other.trained for identity, _ in runs for other in identity.features_from.values()]
    if not all([*others, *(identity.encoder.trained for identity, _ in runs)]):
        notes.append("An encoder has random weights: the numbers show that the program works, not where a model looks.")
    failed = sum(len(summary.failures) for _, summary in runs)
    if failed:
        notes.append(f"{failed} image(s) could not be used; their files and reasons are in the records.")
    unanswered = [failure for _, summary in runs for failure in summary.unanswered]
    for method in dict.fromkeys(failure.method for failure in unanswered):
        own = [failure for failure in unanswered if failure.method == method]
        notes.append(f"{method} failed on {len(own)} image(s), so its numbers are of the others: {own[0].error}")
    return "\n".join(notes)
