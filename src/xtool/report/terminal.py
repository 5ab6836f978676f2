"""Tables for a terminal. Rich measures, wraps and colours them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from xtool.explanation import Explanation
    from xtool.run import Run
    from xtool.summary import Row


@dataclass(frozen=True, slots=True)
class Column:
    """One number of a row: how it is called, read and compared."""

    title: str
    value: Callable[[Row], float | None]
    show: Callable[[float], str]
    best: Callable[[list[float]], float] | None = None
    """``max`` or ``min`` where one direction is better."""


def percent(value: float) -> str:
    return f"{100 * value:.1f}"


def seconds(value: float) -> str:
    return f"{value:.3f}" if value < 10 else f"{value:.1f}"


def count(value: float) -> str:
    return f"{value:,.0f}"


COLUMNS = (
    Column("threshold", lambda row: row.threshold, lambda value: f"{value:.2f}"),
    Column("box IoU %", lambda row: row.box_iou, percent, max),
    Column("GT-known %", lambda row: row.gt_known, percent, max),
    Column("Top-1 %", lambda row: row.top1, percent, max),
    Column("Top-5 %", lambda row: row.top5, percent, max),
    Column("pointing %", lambda row: row.pointing, percent, max),
    Column("presence %", lambda row: row.presence, percent, max),
    Column("swapped %", lambda row: row.swapped, percent),
    Column("s/image", lambda row: row.seconds_per_image, seconds, min),
    Column("forwards", lambda row: row.forwards_per_image, count, min),
)


def comparison_table(runs: Sequence[Run]) -> Table:
    """One table over one or more runs; columns without a number are left out, the best of each is marked."""
    from rich import box

    rows = [(run, row) for run in runs for row in run.rows()]
    table = Table(box=box.SIMPLE_HEAD, title=_title(runs), title_justify="left", caption_justify="left")
    several = len(runs) > 1
    for title in ("data set", "encoder", "protocol") if several else ():
        table.add_column(title)
    table.add_column("method", style="bold")
    shown = [column for column in COLUMNS if any(column.value(row) is not None for _, row in rows)]
    for column in shown:
        table.add_column(column.title, justify="right")
    best = {column.title: _best(column, [row for _, row in rows]) for column in shown}
    for run, row in rows:
        where = (run.identity["dataset"]["name"], run.identity["encoder"]["name"], run.identity["protocol"])
        cells = [Text(text) for text in where] if several else []
        table.add_row(*cells, Text(row.method), *(_cell(column, row, best[column.title]) for column in shown))
    table.caption = _caption(runs)
    return table


def _best(column: Column, rows: list[Row]) -> float | None:
    values = [value for row in rows if (value := column.value(row)) is not None]
    return column.best(values) if column.best and len(values) > 1 else None


def _cell(column: Column, row: Row, best: float | None) -> Text:
    value = column.value(row)
    if value is None:
        return Text("–", style="dim")
    # Marked by what is shown: two numbers that print alike are both the best.
    marked = best is not None and column.show(value) == column.show(best)
    return Text(column.show(value) + ("*" if marked else " "), style="bold green" if marked else "")


def _title(runs: Sequence[Run]) -> str:
    if len(runs) > 1:
        return "Comparison of runs"
    identity = runs[0].identity
    encoder = identity["encoder"]
    return (
        f"{encoder['name']} ({encoder['weights']}) on {identity['dataset']['name']}, {runs[0].images()} images, "
        f"protocol {identity['protocol']}"
    )


def _caption(runs: Sequence[Run]) -> str:
    notes = ["* best. Threshold: each method's best of the sweep on these very images, unless it was fixed."]
    if any(row.swapped is not None for run in runs for row in run.rows()):
        notes.append("swapped: GT-known when asked for another thing in the image; low is good.")
    if not all(run.identity["encoder"]["trained"] for run in runs):
        notes.append("This encoder has random weights: the numbers show that the program works, not where a model looks.")
    failed = sum(len(run.failures()) for run in runs)
    if failed:
        notes.append(f"{failed} image(s) could not be used; their files and reasons are in the records.")
    return "\n".join(notes)


def explanation_table(explanations: Sequence[Explanation], threshold: float) -> Table:
    """Verdict and boxes of each text by each method."""
    from rich import box

    table = Table(box=box.SIMPLE_HEAD, title=f"{explanations[0].encoder}, boxes at {threshold:g}", title_justify="left")
    for title, justify in (("text", "left"), ("method", "left"), ("verdict", "left"), ("boxes (x0 y0 x1 y1)", "left")):
        table.add_column(title, justify=justify)  # type: ignore[arg-type]
    table.add_column("s", justify="right")
    table.add_column("forwards", justify="right")
    for i, text in enumerate(explanations[0].texts):
        for explanation in explanations:
            boxes = "\n".join(" ".join(map(str, found)) for found in explanation.boxes(threshold)[i]) or "–"
            table.add_row(
                Text(text), Text(explanation.method), _verdict(explanation, i), boxes,
                seconds(explanation.seconds), count(explanation.forwards),
            )  # fmt: skip
    return table


def _verdict(explanation: Explanation, i: int) -> Text:
    if explanation.scores is None:
        return Text("cannot tell", style="dim")
    return Text("present", style="green") if explanation.present[i] else Text("absent", style="red")
