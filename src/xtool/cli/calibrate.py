"""``xtool calibrate``: how much evidence makes a text present, from finished runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from xtool.cli.terminal import console, json_option, print_json, say

if TYPE_CHECKING:
    from rich.table import Table

    from xtool.engine.calibration_file import CalibrationFile

NAME = "calibration.json"


@click.command("calibrate")
@click.argument("runs", nargs=-1, required=True, type=click.Path())
@click.option(
    "-o", "--out", type=click.Path(dir_okay=False, path_type=Path),
    help=f"The file to write.  [default: {NAME} in the first run]",
)  # fmt: skip
@json_option
def calibrate_command(*, runs: tuple[str, ...], out: Path | None, as_json: bool) -> None:
    """Find how much evidence makes a text present, from finished RUNS of one encoder together.

    Use runs on data with absent texts, and report no results on the same data. `explain` and `compare` read the file
    by --calibration.

    \b
    xtool compare --methods vlscore --encoder RN50 --dataset table:val --data-dir birds --out runs/val
    xtool calibrate runs/val -o rn50.json
    xtool explain photo.jpg --text heron --encoder RN50 --calibration rn50.json
    """
    from xtool.engine.calibration_file import write_calibrations
    from xtool.runs.calibration import calibrate
    from xtool.runs.run import open_runs

    opened = open_runs(runs)
    found = calibrate(opened)
    out = opened[0].path / NAME if out is None else out
    write_calibrations(out, found)
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    console().print(_table(found))
    say(f"written: {out}; use it with --calibration {out}, and on data other than {_data(found)}")


def _table(found: CalibrationFile) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, title=f"{found.encoder.name} on {_data(found)}", title_justify="left")
    table.add_column("method", style="bold")
    for title in ("absent\nbelow", "bar", "present\nabove", "balanced accuracy,\n95 % interval", "images"):
        table.add_column(title, justify="right", no_wrap=True)
    for bounds in found.bounds:
        low, high = bounds.interval
        table.add_row(
            bounds.method,
            *(f"{value:.4f}" for value in (bounds.absent_below, bounds.bar, bounds.present_above)),
            f"{bounds.balanced_accuracy:.1%} [{low:.1%}, {high:.1%}]",
            str(bounds.images),
        )
    table.caption = (
        "accuracy is measured on images that did not choose the bar; between the bounds the verdict is unsure"
    )
    table.caption_justify = "left"
    return table


def _data(found: CalibrationFile) -> str:
    return " and ".join(found.datasets)
