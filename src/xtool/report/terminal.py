"""Tables for a terminal. Rich measures, wraps and colours them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from xtool.report.columns import COLUMNS, Column, best_of, count, is_best, seconds

if TYPE_CHECKING:
    from xtool.engine.work import Work
    from xtool.explanation import Explanation
    from xtool.runs.run import Run
    from xtool.runs.summary import Row


def comparison_table(runs: Sequence[Run]) -> Table:
    """One table over one or more runs; columns without a number are left out, the best of each is marked."""
    from rich import box

    rows = [(run, row) for run in runs for row in run.rows()]
    table = Table(
        box=box.SIMPLE_HEAD,
        title=_title(runs),
        title_justify="left",
        caption_justify="left",
        padding=0,
        pad_edge=False,
    )
    several = len(runs) > 1
    for title in ("data set", "encoder", "protocol") if several else ():
        table.add_column(title)
    table.add_column("method", style="bold", overflow="fold", min_width=8)
    shown = [column for column in COLUMNS if any(column.value(row) is not None for _, row in rows)]
    for column in shown:
        table.add_column(column.heading, justify="right", no_wrap=True)
    best = {column.title: best_of(column, [row for _, row in rows]) for column in shown}
    for run, row in rows:
        where = (run.identity["dataset"]["name"], run.identity["encoder"]["name"], run.identity["protocol"])
        cells = [Text(text) for text in where] if several else []
        table.add_row(*cells, Text(row.method), *(_cell(column, row, best[column.title]) for column in shown))
    table.caption = _caption(runs)
    return table


def _cell(column: Column, row: Row, best: float | None) -> Text:
    value = column.value(row)
    if value is None:
        return Text("–", style="dim")
    marked = is_best(column, value, best)
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
    chosen = any(run.threshold is None for run in runs)
    notes = ["* best." + (" Threshold: each method's best of the sweep on these very images." if chosen else "")]
    if any(row.swapped is not None for run in runs for row in run.rows()):
        notes.append("swapped: GT-known when asked for another thing in the image; low is good.")
    if not all(run.identity["encoder"]["trained"] for run in runs):
        notes.append(
            "This encoder has random weights: the numbers show that the program works, not where a model looks."
        )
    failed = sum(len(run.failures()) for run in runs)
    if failed:
        notes.append(f"{failed} image(s) could not be used; their files and reasons are in the records.")
    return "\n".join(notes)


def profile_table(profile: Work) -> Table:
    """Where the wall time of a run went."""
    from rich import box

    table = Table(box=box.SIMPLE_HEAD, title="Wall time", title_justify="left", caption_justify="left")
    table.add_column("part", style="bold")
    table.add_column("s", justify="right")
    table.add_column("share", justify="right")
    for name, spent in sorted(profile.seconds.items(), key=lambda item: -item[1]):
        table.add_row(name, seconds(spent), f"{spent / profile.total:.1%}")
    table.caption = f"{profile.outside_tower:.1%} of {profile.total:.1f} s was spent outside the image tower."
    return table


def explanation_table(explanations: Sequence[Explanation], threshold: float) -> Table:
    """Verdict and boxes of each text by each method."""
    from rich import box

    table = Table(box=box.SIMPLE_HEAD, title=f"{explanations[0].encoder}, boxes at {threshold:g}", title_justify="left")
    for title, justify in (("text", "left"), ("method", "left"), ("verdict", "left"), ("boxes (x0 y0 x1 y1)", "left")):
        table.add_column(title, justify=justify)  # type: ignore[arg-type]
    table.add_column("s", justify="right")
    table.add_column("forwards", justify="right")
    read = [
        prompts[0]
        for text, prompts in zip(explanations[0].texts, explanations[0].prompts, strict=True)
        if prompts != (text,)
    ]
    if read:
        table.caption = Text(f"read as: {', '.join(read)}", style="dim")
        table.caption_justify = "left"
    for i, text in enumerate(explanations[0].texts):
        for explanation in explanations:
            boxes = "\n".join(" ".join(map(str, found)) for found in explanation.boxes(threshold)[i]) or "–"
            verdict = explanation.verdicts[i]
            table.add_row(
                Text(text), Text(explanation.method), Text(verdict.words, style=verdict.terminal), boxes,
                seconds(explanation.seconds), count(explanation.forwards),
            )  # fmt: skip
    return table


def counts_table(run: Run) -> Table:
    """How well the boxes of each method count instances."""
    from rich import box

    from xtool.report.instances import COLUMNS as COUNT_COLUMNS
    from xtool.report.instances import count_instances

    identity = run.identity
    title = f"Counting instances: {identity['encoder']['name']} on {identity['dataset']['name']}"
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", caption_justify="left")
    table.add_column("method", style="bold", overflow="fold", min_width=8)
    for name, _ in COUNT_COLUMNS:
        table.add_column(name, justify="right")
    for item in count_instances(run):
        table.add_row(Text(item.method), *(show(item) for _, show in COUNT_COLUMNS))
    table.caption = (
        "Count error: mean difference of the numbers of boxes, low is good. F1: one to one at IoU ≥ 0.5."
        if table.rows
        else "No image has several true boxes."
    )
    return table
