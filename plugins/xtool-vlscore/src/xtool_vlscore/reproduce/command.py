"""``xtool reproduce``: the article's tables, measured again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from xtool.plugin import (
    complete_encoders,
    complete_methods,
    dataset_options,
    encoder_options,
    parse_shard,
    progress_bar,
)


@click.command("reproduce")
@click.argument("table", type=click.Choice(["table1", "table2"]))
@dataset_options
@encoder_options
@click.option(
    "--classifier",
    metavar="ENCODER",
    shell_complete=complete_encoders,
    help="Encoder that names the class, instead of the table's own choice.",
)
@click.option(
    "--methods", "--method", "method", metavar="NAME[:OPTION=VALUE…]", shell_complete=complete_methods,
    help="One method to use instead.  [default: vlscore:preset=paper]",
)  # fmt: skip
@click.option("--limit", type=click.IntRange(1), metavar="N", help="The first N images only.")
@click.option(
    "--shard", default="1/1", metavar="I/N", callback=parse_shard, help="Every N-th image, starting with the I-th."
)
@click.option(
    "--on-error", type=click.Choice(["stop", "skip"]), default="stop", show_default=True,
    help="What to do with an unreadable image.",
)  # fmt: skip
@click.option(
    "-o", "--out", type=click.Path(file_okay=False, path_type=Path),
    help="Where the runs are kept and resumed.  [default: runs/reproduce-TABLE]",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON on standard output, and nothing else.")
def reproduce_command(
    *,
    table: str,
    data_dir: str | None,
    dataset: str | None,
    encoder: str | None,
    classifier: str | None,
    method: str | None,
    limit: int | None,
    shard: tuple[int, int],
    on_error: str,
    out: Path | None,
    as_json: bool,
    loading: dict[str, Any],
) -> None:
    """Measure TABLE of the VL-Score article again, and print it next to what was published.

    On ImageNet, or on another --dataset to try the command.

    The same command resumes where it was interrupted; shards with the same --out are merged.

    \b
    xtool reproduce table2 --data-dir ILSVRC --limit 1000
    xtool reproduce table1 --encoder tiny-rn --dataset scenes --limit 20
    """
    from xtool_vlscore.reproduce.measure import IMAGENET, measure, open_table_data
    from xtool_vlscore.reproduce.plan import plan
    from xtool_vlscore.reproduce.published import published_table
    from xtool_vlscore.reproduce.result import caveats, result_as_json, result_rows, result_table

    experiments = plan(table, encoder=encoder, classifier=classifier, method=method)
    opened = open_table_data(dataset or IMAGENET, data_dir)
    folder = out if out is not None else Path("runs") / f"reproduce-{table}"
    measured = []
    for experiment in experiments:
        click.echo(f"{experiment.title}: {experiment.folder}", err=True)
        try:
            measured.append(
                measure(
                    experiment, opened, out=folder, loading=loading, progress=progress_bar,
                    data_dir=data_dir, limit=limit, shard=shard, on_error=on_error,
                )
            )  # fmt: skip
        except KeyboardInterrupt:
            raise click.ClickException(
                "interrupted; everything finished is written, and the same command resumes"
            ) from None
    known = published_table(table)
    rows = result_rows(known, measured)
    notes = caveats(known, rows, measured)
    if as_json:
        told = {"table": table, "source": known.source, "rows": result_as_json(rows), "caveats": notes}
        click.echo(json.dumps({**told, "runs": str(folder)}, ensure_ascii=False))
        return
    from rich.console import Console

    Console().print(result_table(f"{table} of the VL-Score article", rows))
    for note in notes:
        click.echo(f"- {note}")
    click.echo(f"runs: {folder}", err=True)
