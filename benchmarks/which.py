"""Which method? One table for each encoder: every method that fits it, how well it finds things, and what that costs.

    uv run python -m benchmarks.which --data DIR --out runs/which > docs/which.md
    uv run python -m benchmarks.which --encoder ViT-B-16 --pretrained openai --dataset imagenet --data-dir ILSVRC \
        --limit 1000

Without ``--encoder`` it asks the encoders that xtool brings: ``photo`` on photographs (``DIR`` is that of
:mod:`benchmarks.photographs`), ``tiny-rn`` and ``tiny-vit`` on drawn scenes. Box thresholds are chosen on other
pictures than those that are reported. Runs are resumed where they were stopped. What is printed is Markdown.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.photographs import SETS, Half
from benchmarks.speed.machine import cpu_name
from xtool.contracts.protocols import Dataset
from xtool.contracts.registry import registry
from xtool.datasets.opening import open_dataset
from xtool.engine.cost import passes_of, seconds_per_pass
from xtool.engine.encoders import CountedEncoder, load_encoder
from xtool.engine.methods import config_class, parse_methods
from xtool.errors import XtoolError
from xtool.evaluator.comparison import compare
from xtool.explainer import Explainer
from xtool.metrics.protocols import get_protocol
from xtool.runs.run import Run

PLAIN = ("random",)
"""Methods without a row: noise says what ``center`` says."""
OTHERS = ("vlscore:mask_at=pixels", "scorecam:mask_at=pixels")
"""Rows that no preset makes: the definition of what ``auto`` may do at the pool."""
SECOND = "maxboxaccv2"
"""A second protocol, measured on the maps of the same run."""


@dataclass(frozen=True)
class Question:
    """An encoder, the pictures that thresholds are chosen on, and those that are reported."""

    encoder: CountedEncoder
    choose: Dataset
    report: Dataset
    limit: int | None


def methods_for(
    encoder: CountedEncoder, pictures: Dataset, most: int, left_out: Sequence[str]
) -> tuple[list[str], dict[str, str]]:
    """Every method with its defaults and each preset, but for those ``left_out``; and why those are missing that
    refuse the encoder or need more than ``most`` passes an image."""
    catalogue = registry().saliency_methods
    wanted = [
        catalogue.name_of(item)
        for item in catalogue
        if item.spec.name not in (*PLAIN, *left_out) and encoder.info.architecture in item.spec.architectures
    ]
    presets = {name: tuple(config_class(catalogue.find(name).spec).presets) for name in wanted}
    rows = [row for name in wanted for row in (name, *(f"{name}:preset={preset}" for preset in presets[name]))]
    sample, fitting, refused = pictures[0], [], {}
    explainer = Explainer(sample.open(), encoder)
    for row in [*rows, *OTHERS]:
        requests = parse_methods([row])
        try:
            passes = passes_of(requests[0], encoder, explainer.pixels, 1)
            if passes > most:
                refused[row] = f"left out: it needs {passes:,} passes an image, more than --most-passes {most:,}"
                continue
            explainer.explain(sample.label, requests)
        except XtoolError as error:
            refused[row] = str(error).splitlines()[0]
        else:
            fitting.append(row)
    return fitting, refused


def answers(question: Question, methods: Sequence[str], out: Path) -> Run:
    """The run that is reported, at thresholds chosen on the other pictures."""
    runs = []
    for name, dataset in (("choose", question.choose), ("report", question.report)):
        where = out / f"{question.encoder.info.name}-{name}".replace("/", "-")
        runs.append(
            compare(
                dataset,
                methods=methods,
                encoder=question.encoder,
                limit=question.limit,
                out=where,
                resume=where.exists(),
            )
        )
    return Run(runs[1].directories, runs[0].chosen_thresholds())


def second_protocol(run: Run) -> dict[str, float]:
    """Accuracy of each method under :data:`SECOND`, at the thresholds that are best on these pictures."""
    protocol = get_protocol(SECOND)
    ious: dict[str, list[np.ndarray]] = {}
    for record in run.records():
        boxes = np.asarray(record.true_boxes, np.float64).reshape(-1, 4)
        ious.setdefault(record.method, []).append(protocol.best_ious(run.image_map(record), boxes))
    return {method: protocol.choose(np.stack(own)).accuracy for method, own in ious.items()}


def table(question: Question, run: Run, refused: dict[str, str]) -> Iterator[str]:
    """Markdown of one encoder's table, best first."""
    info = question.encoder.info
    one = seconds_per_pass(question.encoder)
    second = second_protocol(run)
    yield f"## `{info.name}` on `{run.identity.dataset.name}`\n"
    yield (
        f"{run.images()} samples; weights {info.weights}; {info.input_size[0]}×{info.input_size[1]} px. "
        f"Thresholds chosen on `{question.choose.name}`. A bare pass takes {1000 * one:.1f} ms.\n"
    )
    yield "| method | GT-known | MaxBoxAccV2 | pointing | swapped | presence | passes | time ÷ bare pass |"
    yield "|---|---|---|---|---|---|---|---|"
    found = run.resampled
    order = sorted(range(len(run.results)), key=lambda number: -(run.results[number].row.values["gt_known"] or 0))
    for number in order:
        row, spans = run.results[number].row, found.intervals(number)

        def cell(name: str) -> str:
            value, span = row.values.get(name), spans.get(name)  # noqa: B023 (called in this turn of the loop)
            if value is None:
                return "–"
            return f"{value:.3f}" + (f" [{span[0]:.3f} {span[1]:.3f}]" if span is not None else "")

        seconds, passes = row.values["seconds_per_image"] or 0.0, row.values["forwards_per_image"] or 0.0
        cells = [
            f"`{row.method}`", cell("gt_known"), f"{second[row.method]:.3f}", cell("pointing"), cell("swapped"),
            cell("presence"), f"{passes:,.0f}", f"{seconds / one:,.1f}",
        ]  # fmt: skip
        yield f"| {' | '.join(cells)} |"
    if refused:
        yield "\nRefused, in these words:\n"
        yield from (f"- `{row}`: {reason}" for row, reason in refused.items())
    yield ""


def questions(given: argparse.Namespace) -> Iterator[Question]:
    """What is asked: the user's encoder on the user's pictures, or what xtool brings."""
    if given.encoder:
        encoder = load_encoder(given.encoder, pretrained=given.pretrained)
        whole = open_dataset(given.dataset, given.data_dir)
        yield Question(encoder, Half.of(whole, "choose"), Half.of(whole, "report"), given.limit)
        return
    if given.data:
        loader, where = SETS["ilsvrc-val-400"]
        whole = open_dataset(loader, given.data / where)
        yield Question(load_encoder("photo"), Half.of(whole, "choose"), Half.of(whole, "report"), given.limit)
    for name in ("tiny-rn", "tiny-vit"):
        yield Question(load_encoder(name), open_dataset("scenes:val"), open_dataset("scenes:test"), given.limit)


def main() -> None:
    """Make what is missing of the runs, and print the tables."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", type=Path, help="folder with ilsvrc-val-400, for the encoder photo")
    options.add_argument("--out", type=Path, default=Path("runs/which"), help="folder of the runs")
    options.add_argument("--encoder", help="your own question instead")
    options.add_argument("--pretrained", default="auto")
    options.add_argument("--dataset", default="imagenet")
    options.add_argument("--data-dir", type=Path)
    options.add_argument("--limit", type=int, help="the first samples of each half only")
    options.add_argument("--most-passes", type=int, default=600, help="leave out methods that need more an image")
    options.add_argument("--leave-out", nargs="+", default=[], help="methods without a row, for want of time")
    options.add_argument("--only", nargs="+", help="these methods only")
    given = options.parse_args()
    print(f"`python -m benchmarks.which {shlex.join(sys.argv[1:])}` on {cpu_name()}.\n")
    for question in questions(given):
        methods, refused = methods_for(question.encoder, question.report, given.most_passes, given.leave_out)
        methods = [row for row in methods if given.only is None or row in given.only]
        run = answers(question, methods, given.out)
        print("\n".join(table(question, run, refused)), flush=True)


if __name__ == "__main__":
    main()
