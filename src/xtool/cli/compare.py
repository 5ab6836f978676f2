"""``xtool compare``: the main job."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import click

from xtool.cli.choices import MetricName, ProtocolName
from xtool.cli.completion import complete_encoders
from xtool.cli.options import (
    calibration_option,
    dataset_options,
    encoder_options,
    method_options,
    methods_option,
    parse_settings,
    parse_shard,
)
from xtool.cli.progress import progress_bar
from xtool.cli.terminal import console, json_option, print_json, say

if TYPE_CHECKING:
    import torch

    from xtool.engine.work import Work
    from xtool.evaluator.evaluate import Engine

GLANCE = 24
"""Scenes in a comparison for which nothing but methods was asked: what two cores finish in about a minute."""

UNASKED = "The model {} on the first {} samples of {}; --encoder, --limit and --dataset choose others."


@click.command("compare")
@methods_option
@encoder_options
@calibration_option
@dataset_options
@click.option(
    "--protocol",
    type=ProtocolName(),
    metavar="NAME",
    default="anybox",
    show_default=True,
    help="How boxes are made and hits are counted: anybox, maxboxacc, …; a wrong name lists all.",
)
@click.option("--threshold", type=click.FloatRange(0, 1, max_open=True), help="Fix the box threshold for all methods.")
@click.option(
    "--template",
    "templates",
    multiple=True,
    metavar="TEXT",
    help="Prompt with {label}, or ensemble for the 80 of CLIP; repeatable.",
)
@method_options
@click.option(
    "--classifier",
    metavar="ENCODER",
    shell_complete=complete_encoders,
    help="Another encoder that names the class for Top-1 and Top-5.",
)
@click.option("--classifier-pretrained", default="auto", metavar="TAG|FILE|none", help="Weights of the classifier.")
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    type=MetricName(),
    metavar="NAME",
    help="Additional metric, for example pxap; repeatable; a wrong name lists all.",
)
@click.option(
    "--maps",
    type=click.Choice(["none", "low", "full"]),
    default="low",
    show_default=True,
    help="What records keep of maps: nothing (so no galleries), 16 bits of each value, or all 32.",
)
@click.option("--limit", type=int, metavar="N", help="The first N samples only.")
@click.option(
    "--batch",
    type=click.IntRange(min=1),
    metavar="N",
    help="Images explained at once.  [default: by device and methods]",
)
@click.option(
    "--shard", default="1/1", metavar="I/N", callback=parse_shard, help="Every N-th sample, starting with the I-th."
)
@click.option(
    "--on-error",
    type=click.Choice(["stop", "skip"]),
    default="stop",
    show_default=True,
    help="What to do with an unreadable image.",
)
@click.option(
    "-o", "--out", type=click.Path(file_okay=False), help="The run's directory.  [default: a new one under runs/]"
)
@click.option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    help="Where images are explained: in this process, or by the workers of Ray.  [default: ray with --workers]",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    metavar="N",
    help="Explain images in N processes; a GPU each, if the encoder is on one. Needs Ray.",
)
@click.option("--address", metavar="HOST:PORT|auto", help="A running Ray cluster; by default Ray is started here.")
@click.option("--profile", is_flag=True, help="Print where the wall time went, on standard error.")
@click.option("--resume", is_flag=True, help="Resume the run in --out.")
@json_option
def compare_command(
    *,
    methods: tuple[str, ...],
    encoder: str | None,
    dataset: str | None,
    settings: tuple[str, ...],
    features_from: str | None,
    limit: int | None,
    classifier: str | None,
    classifier_pretrained: str,
    out: str | None,
    resume: bool,
    profile: bool,
    engine: str | None,
    workers: int | None,
    address: str | None,
    as_json: bool,
    loading: dict[str, Any],
    calibration: str | None,
    **rest: Any,
) -> None:
    """Compare saliency methods on a data set, fairly: same pixels, same texts, same thresholds.

    \b
    xtool compare --methods vlscore,gradcam
    xtool compare --methods vlscore:top_k=256,gradcam --encoder RN50 --pretrained openai \\
        --dataset imagenet --data-dir ILSVRC --limit 1000 --out runs/rn50
    """
    from xtool.contracts.registry import registry
    from xtool.datasets.opening import shown_by
    from xtool.engine.encoders import load_encoder, out_of_depth
    from xtool.engine.methods import parse_methods, require_calibration, resolve_options, suggested_methods
    from xtool.errors import UsageError
    from xtool.evaluator import comparison

    if resume and out is None:
        raise UsageError("--resume needs --out with the directory of the run to resume")
    chosen_engine = _engine(engine, workers, address)
    shows = shown_by(dataset)
    loaded = load_encoder(encoder, shows=shows, calibration=calibration, **loading)
    if calibration is not None:
        asked = parse_methods(methods or suggested_methods(), parse_settings(settings), features_from=features_from)
        require_calibration(calibration, [resolve_options(request, loaded.info, loaded.device) for request in asked])
    if encoder is None and dataset is None:
        limit = GLANCE if limit is None else limit
        say(UNASKED.format(loaded.info.name, limit, registry().datasets.default().spec.name))
    if warning := out_of_depth(loaded.info, shows):
        say(warning)
    naming = {**loading, "pretrained": classifier_pretrained, "classes": None}
    if not loaded.info.trained:
        say(f"{loaded.info.name} has random weights: untrained, so its maps are meaningless.")
    with progress_bar() as on_progress, _watching(loaded.device, profile) as spent:
        try:
            run = comparison.compare(
                dataset,
                methods=methods,
                encoder=loaded,
                settings=parse_settings(settings),
                features_from=features_from,
                classifier=load_encoder(classifier, **naming) if classifier else None,
                limit=limit,
                out=out,
                resume=resume,
                on_progress=on_progress,
                engine=chosen_engine,
                **rest,
            )
        except KeyboardInterrupt:
            hint = f"; resume with --out {out} --resume" if out else ""
            raise click.ClickException(f"interrupted; everything finished is written{hint}") from None
    if spent is not None:
        from xtool.cli.tables import profile_table

        console(stderr=True).print(profile_table(spent))
    if as_json:
        print_json(run.as_json())
        return
    console().print(run.table())
    say(f"run: {run.path}; its report: xtool report {run.path} -o report.html")


def _engine(name: str | None, workers: int | None, address: str | None) -> Engine:
    """What evaluates. Raises :class:`UsageError` for options of Ray without it."""
    from xtool.errors import UsageError
    from xtool.evaluator.evaluate import evaluate

    if name == "ray" or (name is None and (workers or address)):
        from xtool.evaluator.workers import RayEngine

        return RayEngine(workers=workers, address=address)
    if workers or address:
        raise UsageError("--workers and --address are for --engine ray")
    return evaluate


def _watching(device: torch.device, profile: bool) -> AbstractContextManager[Work | None]:
    """Time the run's parts if asked to: a GPU is waited for at each, which costs a little."""
    if not profile:
        return nullcontext()
    from torch.cuda import synchronize

    from xtool.engine.work import account

    return account(settle=synchronize if device.type == "cuda" else None)
