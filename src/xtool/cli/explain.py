"""``xtool explain``: one image, some texts, some methods."""

from __future__ import annotations

import json
from typing import Any

import click

from xtool.cli.options import encoder_options, method_options, parse_settings


@click.command("explain")
@click.argument("image", type=click.Path(), required=False)
@click.option(
    "--text", "texts", multiple=True, metavar="TEXT", help='What to look for, "an image of a dog."; repeatable.'
)
@click.option("--method", "--methods", "methods", multiple=True, metavar="NAME[:OPTION=VALUE…]", help="Repeatable.")
@encoder_options
@method_options
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.6,
    show_default=True,
    help="Boxes surround what exceeds this fraction of the map's maximum.",
)
@click.option("-o", "--out", type=click.Path(dir_okay=False), help="Figure to write: .png, .svg, .pdf, …")
@click.option("--json", "as_json", is_flag=True, help="Print JSON on standard output, and nothing else.")
def explain_command(
    *,
    image: str | None,
    texts: tuple[str, ...],
    methods: tuple[str, ...],
    encoder: str | None,
    loading: dict[str, Any],
    fit: Any,
    settings: tuple[str, ...],
    threshold: float,
    out: str | None,
    as_json: bool,
) -> None:
    """Show where a model sees each text in IMAGE: heat map, boxes, and whether it is there at all.

    Without IMAGE, a bundled scene is explained.

    \b
    xtool explain photo.jpg --text "an image of a dog." --text "an image of a cat." -o out.png
    """
    from xtool.engine.encoders import DEFAULT_ENCODER, load_encoder
    from xtool.errors import UsageError
    from xtool.explanation import explain_all
    from xtool.report.figures import save_figure
    from xtool.report.overlays import explanation_figure

    whole: Any = image
    if image is None:
        whole, own = _bundled_scene()
        texts = texts or own
    elif not texts:
        raise UsageError('say what to look for with --text "an image of a dog."')
    loaded = load_encoder(encoder or DEFAULT_ENCODER, **loading)
    explanations = explain_all(
        whole,
        texts,
        encoder=loaded,
        methods=methods or ("vlscore",),
        settings=parse_settings(settings),
        fit=fit,
    )
    if out is not None:
        save_figure(explanation_figure(explanations, threshold), out)
    if as_json:
        click.echo(json.dumps({"figure": out, "explanations": [e.as_json(threshold) for e in explanations]}))
        return
    from rich.console import Console

    from xtool.cli.tables import explanation_table

    Console().print(explanation_table(explanations, threshold))
    if not loaded.info.trained:
        click.echo(f"{loaded.info.name} has random weights: its maps show nothing that it has learnt.", err=True)
    click.echo(f"figure: {out}" if out else "no figure written; -o out.png draws one", err=True)


def _bundled_scene() -> tuple[Any, tuple[str, ...]]:
    """The first bundled scene, and prompts for something in it and something that is not."""
    from xtool.engine.prompts import DEFAULT_TEMPLATES, fill
    from xtool.runs.comparison import DEFAULT_DATASET, open_dataset

    sample = open_dataset(DEFAULT_DATASET)[0]
    names = [name for name in (sample.label, sample.distractor, sample.absent) if name]
    click.echo(f"No image given: explaining the bundled scene {sample.id}.", err=True)
    return sample.open(), tuple(fill(DEFAULT_TEMPLATES, names))
