"""The main job: compare saliency methods on a data set, as a run that can be interrupted, resumed and sharded."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xtool.datasets.opening import open_dataset, shown_by
from xtool.engine.encoders import counted, given_encoder
from xtool.engine.methods import build_method, parse_methods, refusal, resolve_options, suggested_methods
from xtool.engine.prompts import resolve_templates
from xtool.engine.work import RECORDS, part
from xtool.errors import DataError, RunError, UsageError
from xtool.evaluator.evaluate import Engine, evaluate
from xtool.evaluator.evaluation import Evaluation
from xtool.evaluator.identity import manifest_of
from xtool.evaluator.slices import automatic_size, sliced
from xtool.image.geometry import Fit
from xtool.metrics.protocols import RENAMED, get_protocol
from xtool.metrics.registry import chosen_metrics
from xtool.runs.run import Run
from xtool.store.directory import RunDirectory
from xtool.store.packed import MAPS, Maps
from xtool.store.records import Failure

if TYPE_CHECKING:
    from xtool.contracts.protocols import Dataset, Encoder

DEFAULT_PROTOCOL = "anybox"
OnProgress = Callable[["Progress"], None]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is, in images."""

    done: int
    total: int
    failed: int


def compare(
    dataset: str | Dataset | None = None,
    *,
    methods: Sequence[str] = (),
    encoder: str | Encoder | None = None,
    data_dir: str | Path | None = None,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    protocol: str = DEFAULT_PROTOCOL,
    threshold: float | None = None,
    templates: Sequence[str] = (),
    fit: Fit = "squash",
    classifier: Encoder | None = None,
    features_from: Encoder | str | None = None,
    metrics: Sequence[str] = (),
    maps: Maps = "low",
    limit: int | None = None,
    batch: int | None = None,
    shard: tuple[int, int] = (1, 1),
    on_error: str = "stop",
    out: str | Path | None = None,
    resume: bool = False,
    on_progress: OnProgress | None = None,
    engine: Engine = evaluate,
) -> Run:
    """Compare methods on a data set and return the run.

    Args:
        dataset: a name, ``name:split``, or an opened data set; by default the one that a plugin suggests.
        methods: as on the command line, ``["vlscore:top_k=256", "gradcam"]``; by default all that plugins suggest.
        encoder: a loaded encoder or a name; by default the one that a plugin suggests for what the data set shows.
        data_dir: where the data set is, for those that need it.
        settings: options by method name, for every row of that method.
        protocol: ``anybox``, ``onebox``, ``maxboxacc``, ``maxboxaccv2`` or ``cam2016``.
        threshold: fix the box threshold; by default each method gets the best of the sweep.
        templates: prompt templates with ``{label}``; the article's by default.
        fit: how images fill the model's input: ``squash``, ``crop`` or ``pad``.
        classifier: another encoder that names the class for Top-1 and Top-5.
        features_from: another encoder whose feature maps the methods take, loaded or by name, ``"photo"`` or
            ``"RN50@openai"``; of a row that has the option ``features_from`` its own.
        metrics: additional metrics by name: ``pxap``, ``insertion``, ``deletion``, …
        maps: what records keep of maps: ``low``, 16 bits of each value; ``full``, all 32; ``none``, nothing, so that
            there are no galleries and no counts. What is kept is what is scored; ``none`` scores as ``low`` does.
        limit: the first N samples only.
        batch: images that are explained at once; by default chosen for the device and the methods. It changes numbers
            by no more than rounding, and a resumed run keeps its own.
        shard: ``(i, n)``: every n-th sample, starting with the i-th, i from 1.
        on_error: what to do with an unusable sample: ``stop`` or ``skip``.
        out: the run's directory; a new one under ``runs/`` by default.
        resume: continue the run in ``out``.
        on_progress: called after each image.
        engine: what evaluates: this process, or the workers of a :class:`xtool.evaluator.workers.RayEngine`.

    Raises:
        UsageError: an invalid name, option or value.
        DataError: an unusable sample under ``on_error="stop"``; everything before it has been written.
        RunError: the directory contains another run.
    """
    opened = open_dataset(dataset, data_dir) if dataset is None or isinstance(dataset, str) else dataset
    loaded = given_encoder(encoder, shown_by(dataset))
    asked = parse_methods(methods or suggested_methods(), settings, features_from=features_from)
    requests = [resolve_options(request, loaded.info, loaded.device) for request in asked]
    for request in requests:  # before the first image, which may be hours of other methods away
        if request.source is None and (words := refusal(request.provided.spec, loaded)):
            raise UsageError(words)
    evaluation = Evaluation(
        dataset=opened,
        encoder=loaded,
        methods={request.label: build_method(request, loaded.info) for request in requests},
        protocol=get_protocol(_present_name(protocol)),
        templates=resolve_templates(templates),
        fit=fit,
        classifier=None if classifier is None else counted(classifier),
        metrics=chosen_metrics(metrics),
        sources=[request.source for request in requests if request.source is not None],
        maps=_known(maps),
    )
    indices = _chosen(len(opened), limit, shard)
    if batch is not None and batch < 1:
        raise UsageError(f"--batch must be at least 1, not {batch}")
    manifest = manifest_of(
        evaluation,
        requests,
        images=len(indices),
        limit=limit,
        shard=shard,
        data_dir=data_dir,
        batch=batch or automatic_size(requests, loaded.device),
    )
    path = Path(out) if out is not None else Path("runs") / time.strftime("%Y%m%d-%H%M%S")
    directory = RunDirectory.resume(path, manifest) if resume else RunDirectory.create(path, manifest)
    with closing(directory):
        size = batch or directory.manifest.batch or 1
        _evaluate_into(directory, evaluation, engine, indices, size, on_error, on_progress)
        directory.seal()
    return Run([directory], threshold)


def _evaluate_into(
    directory: RunDirectory,
    evaluation: Evaluation,
    engine: Engine,
    indices: Sequence[int],
    size: int,
    on_error: str,
    report: OnProgress | None,
) -> None:
    done = directory.done()
    todo = list(sliced(indices, size, done.missing))
    remaining = {
        index: len(labels) for one in todo for index, labels in zip(one.indices, one.missing, strict=True) if labels
    }
    finished, failed, measured = len(indices) - len(remaining), 0, len(done) > 0
    first: Failure | None = None
    if report:
        report(Progress(finished, len(indices), failed))
    for record in engine(evaluation, todo) if todo else ():  # workers are not started for nothing
        with part(RECORDS):
            directory.append(record)
        if isinstance(record, Failure):
            failed += 1
            first = first or record
            if on_error == "stop":
                raise DataError(record.image, record.error)
        else:
            measured = True
        whole = isinstance(record, Failure) and record.method is None
        remaining[record.index] = 0 if whole else remaining[record.index] - 1
        if not remaining[record.index]:
            finished += 1
            if report:
                report(Progress(finished, len(indices), failed))
    if first is not None and not measured:
        raise RunError(f"nothing could be measured on any image; the first: {first.image}: {first.error}")


def _chosen(length: int, limit: int | None, shard: tuple[int, int]) -> list[int]:
    if limit is not None and limit < 1:
        raise UsageError(f"--limit must be at least 1, not {limit}")
    i, n = shard
    if not 1 <= i <= n:
        raise UsageError(f"--shard must be i/n with 1 <= i <= n, not {i}/{n}")
    indices = list(range(min(length, limit) if limit is not None else length))[i - 1 :: n]
    if not indices:
        raise RunError(f"shard {i}/{n} of {length} samples contains none")
    return indices


def _known(maps: Maps) -> Maps:
    if maps not in MAPS:
        raise UsageError(f"maps must be one of {', '.join(MAPS)}, not {maps!r}")
    return maps


def _present_name(protocol: str) -> str:
    """A protocol's name of today for an earlier one, with a warning."""
    if protocol not in RENAMED:
        return protocol
    warnings.warn(f"the protocol {protocol} is now called {RENAMED[protocol]}", FutureWarning, stacklevel=3)
    return RENAMED[protocol]


__all__ = ["DEFAULT_PROTOCOL", "Progress", "compare"]
