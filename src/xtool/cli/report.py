"""``xtool report``: finished runs, read back."""

from __future__ import annotations

import json

import click


@click.command("report")
@click.argument("runs", nargs=-1, required=True, type=click.Path())
@click.option(
    "--threshold", type=click.FloatRange(0, 1, max_open=True), help="Fix the box threshold for all methods."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON on standard output, and nothing else.")
def report_command(*, runs: tuple[str, ...], threshold: float | None, as_json: bool) -> None:
    """Show finished or interrupted RUNS in one table; shards of one run are merged."""
    from xtool.run import open_runs

    opened = open_runs(runs, threshold)
    if as_json:
        click.echo(json.dumps([run.as_json() for run in opened], ensure_ascii=False))
        return
    from rich.console import Console

    from xtool.report.terminal import comparison_table

    Console().print(comparison_table(opened))
