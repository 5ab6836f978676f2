"""``xtool report``: finished runs, read back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from xtool.cli.terminal import console, json_option, print_json, say

if TYPE_CHECKING:
    from xtool.runs.run import Run

PAGES = (".html", ".htm")


@click.command("report")
@click.argument("runs", nargs=-1, required=True, type=click.Path())
@click.option("--threshold", type=click.FloatRange(0, 1, max_open=True), help="Fix the box threshold for all methods.")
@click.option(
    "--thresholds-from",
    type=click.Path(),
    metavar="RUN",
    help="Take each method's threshold from this run, say on a validation split, instead of choosing it here.",
)
@click.option(
    "-o",
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a page (.html), or the curves against the threshold as a figure (.png, .svg, .pdf, …).",
)
@click.option("--data-dir", type=click.Path(), help="Where the images are now.  [default: where they were in the run]")
@click.option(
    "--gallery", type=click.IntRange(0), default=4, show_default=True, help="Images in each of the page's galleries."
)
@click.option("--image", metavar="ID", help="Image whose boxes the page shows as the threshold moves.")
@click.option(
    "--counts/--no-counts",
    default=None,
    help="Count instances in images with several true boxes; recomputes the boxes of every map.  [default: in pages]",
)
@click.option("--intervals", is_flag=True, help="Show the 95 % interval over images below each number.")
@json_option
def report_command(
    *,
    runs: tuple[str, ...],
    threshold: float | None,
    thresholds_from: str | None,
    out: Path | None,
    data_dir: str | None,
    gallery: int,
    image: str | None,
    counts: bool | None,
    intervals: bool,
    as_json: bool,
) -> None:
    """Show finished or interrupted RUNS in one table; shards of one run are merged.

    \b
    xtool report runs/a
    xtool report runs/a runs/b -o report.html
    xtool report runs/a -o curves.svg
    xtool report runs/test --thresholds-from runs/val
    """
    from xtool.errors import UsageError
    from xtool.paint.save import ENDINGS, check_target
    from xtool.runs.run import Run, open_runs

    if thresholds_from is not None and threshold is not None:
        raise UsageError("--threshold and --thresholds-from cannot be combined")
    if out is not None:
        if out.suffix.lower() not in (*PAGES, *ENDINGS):
            raise UsageError(f"{out}: the name must end in .html for a page, or in {', '.join(ENDINGS)} for the curves")
        check_target(out, (*PAGES, *ENDINGS))
    opened = open_runs(runs, Run.open(thresholds_from).chosen_thresholds() if thresholds_from else threshold)
    if out is not None:
        _write(opened, out, data_dir=data_dir, gallery=gallery, image=image, counts=counts is not False)
    if as_json:
        print_json([_as_json(run, bool(counts)) for run in opened])
        return
    from xtool.runs.counts import counts_table
    from xtool.runs.table import ComparisonTable

    terminal = console()
    terminal.print(ComparisonTable([(run.identity, run.summary) for run in opened], intervals=intervals))
    for run in opened if counts else ():
        terminal.print(counts_table(run))
    if out is not None:
        say(f"written: {out}")


def _write(runs: list[Run], out: Path, **options: Any) -> None:
    if out.suffix.lower() in PAGES:
        from xtool.report.page import ReportOptions, write_report

        write_report(runs, out, ReportOptions(**options))
        return
    from xtool.paint.save import save_figure
    from xtool.report.curves import curves_figure

    save_figure(curves_figure(runs), out)


def _as_json(run: Run, counts: bool) -> dict[str, Any]:
    found = run.as_json()
    if counts:
        from xtool.runs.counts import count_instances, counts_as_json

        found["counts"] = counts_as_json(count_instances(run))
    return found
