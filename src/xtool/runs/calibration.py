"""From finished runs to calibrations: what evidence separates true texts from absent ones, and how well."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xtool.contracts.registry import registry
from xtool.engine.calibration_file import Bounds, CalibratedEncoder, CalibrationFile
from xtool.engine.methods import config_class
from xtool.errors import UsageError
from xtool.metrics.presence import balanced_accuracy
from xtool.runs.resampling import percentiles, resampled
from xtool.runs.run import Run
from xtool.store.manifest import Identity
from xtool.store.numbers import flat

__all__ = ["LEAST", "Evidence", "best_bar", "calibrate", "unsure_band", "validated"]

LEAST = 20
"""Images that a calibration needs: with fewer, one image moves the bar more than anything that it could tell."""
TAIL = 0.05
"""Share of true texts below the band, and of absent ones above it."""
FOLDS = 10
EVIDENCE = "presence_auroc"
"""The metric that records the evidence for a sample's true text, and for an absent one."""

Floats = NDArray[np.float64]


@dataclass(slots=True)
class Evidence:
    """What a method found for each sample's true text, and for the absent one."""

    present: list[float] = field(default_factory=list)
    absent: list[float] = field(default_factory=list)
    photographs: list[str] = field(default_factory=list)
    """Samples of one photograph always stay together."""


def calibrate(runs: Sequence[Run]) -> CalibrationFile:
    """Bounds of every method that has evidence, from all runs together, which one encoder made.

    Raises :class:`UsageError` for runs of several encoders, of an earlier xtool, or without such a method, and for too
    few photographs.
    """
    first = runs[0]
    found: dict[_Key, Evidence] = {}
    for run in runs:
        if run.manifest.schema_version == 1:
            raise UsageError(f"{run.path} comes from an earlier xtool, which recorded other evidence; run it again")
        if _encoder(run.identity) != _encoder(first.identity):
            raise UsageError(
                f"{run.path} was made with {_told(run.identity)}, and {first.path} with {_told(first.identity)}; "
                "calibrate each separately"
            )
        _gather(run, found)
    if not found:
        raise UsageError(
            "nothing to calibrate: this needs a method with evidence, such as vlscore, whose verdict is not fixed by "
            "an option, and a data set with absent texts"
        )
    return CalibrationFile(
        encoder=_encoder(first.identity),
        datasets=list(dict.fromkeys(run.identity.dataset.name for run in runs)),
        bounds=[_bounds(method, dict(options), evidence) for (method, options), evidence in found.items()],
    )


def best_bar(present: Floats, absent: Floats) -> float:
    """The bar with the best balanced accuracy of ``evidence > bar``, half-way between two values of the evidence.

    Of several equally good ones, that in the middle.
    """
    values = np.unique(np.concatenate((present, absent)))
    bars = (values[1:] + values[:-1]) / 2 if len(values) > 1 else values
    right = 1 - np.searchsorted(np.sort(present), bars, "right") / len(present)
    refused = np.searchsorted(np.sort(absent), bars, "right") / len(absent)
    best = np.flatnonzero(np.isclose(right + refused, (right + refused).max(), rtol=0, atol=1e-12))
    return float(bars[best[(len(best) - 1) // 2]])


def unsure_band(present: Floats, absent: Floats, bar: float) -> tuple[float, float]:
    """Between the evidence that 5 % of true texts stay below and that which 5 % of absent ones are above.

    Where hardly any text lies between these, they are the edges of the gap, and the bar is inside in any case.
    """
    edges = (float(np.quantile(present, TAIL)), float(np.quantile(absent, 1 - TAIL)), bar)
    return min(edges), max(edges)


def validated(evidence: Evidence) -> tuple[float, tuple[float, float]]:
    """Balanced accuracy by cross-validation over photographs, and its 95 % interval by bootstrap over them."""
    present, absent = np.array(evidence.present), np.array(evidence.absent)
    photograph = np.unique(evidence.photographs, return_inverse=True)[1]
    says = np.zeros((2, len(photograph)), bool)
    for fold in range(FOLDS):
        held_out = photograph % FOLDS == fold
        bar = best_bar(present[~held_out], absent[~held_out])
        says[:, held_out] = present[held_out] > bar, absent[held_out] > bar
    found, missed = resampled(list(says.astype(np.float64)), photograph)
    low, high = percentiles((found + 1 - missed) / 2)
    return balanced_accuracy(*says), (low, high)


def _bounds(method: str, options: dict[str, Any], evidence: Evidence) -> Bounds:
    count = len(set(evidence.photographs))
    if count < LEAST:
        raise UsageError(
            f"{method}: {count} images with absent texts are too few to calibrate on; give {LEAST} at least"
        )
    present, absent = np.array(evidence.present), np.array(evidence.absent)
    bar = best_bar(present, absent)
    absent_below, present_above = unsure_band(present, absent, bar)
    accuracy, interval = validated(evidence)
    return Bounds(
        method=method,
        options=options,
        bar=bar,
        absent_below=absent_below,
        present_above=present_above,
        balanced_accuracy=accuracy,
        interval=interval,
        images=count,
        samples=len(present),
    )


_Key = tuple[str, tuple[tuple[str, Any], ...]]
"""A method's name, and what its evidence depends on."""


def _gather(run: Run, found: dict[_Key, Evidence]) -> None:
    keys = {method["label"]: _key(method) for method in run.identity.methods}
    # Rows of one method that differ in the drawing have the same evidence; the last of them stands for all.
    labels = {key: label for label, key in keys.items() if key is not None}
    for methods, photographs, pairs in _evidence(run):
        for key, label in labels.items():
            rows = np.flatnonzero(methods == label)
            if rows.size:
                evidence = found.setdefault(key, Evidence())
                evidence.present += pairs[rows, 0].tolist()
                evidence.absent += pairs[rows, 1].tolist()
                evidence.photographs += photographs[rows].tolist()


def _evidence(run: Run) -> Iterator[tuple[NDArray[np.str_], NDArray[np.str_], Floats]]:
    """[rows] methods and photographs, and [rows, 2] their evidence, of some records at a time; those that have it."""
    for directory in run.directories:
        with directory.numbers() as numbers:
            for table in numbers.batches(("method", "image", EVIDENCE)):
                there = table.filter(table[EVIDENCE].is_valid())
                images = there["image"].to_pylist()
                yield (
                    np.array(there["method"].to_pylist(), np.str_),
                    np.array([f"{run.identity.dataset.name} {image.partition('#')[0]}" for image in images], np.str_),
                    flat(there[EVIDENCE], 2),
                )


def _key(described: dict[str, Any]) -> _Key | None:
    """From a method in a run's manifest; ``None`` where its options decide by themselves what is present."""
    spec = registry().saliency_methods.find(described["method"]).spec
    options = config_class(spec).model_validate(described["config"]).evidence_options()
    return None if options is None else (spec.name, tuple(options.items()))


def _encoder(identity: Identity) -> CalibratedEncoder:
    of = identity.encoder
    return CalibratedEncoder(name=of.name, weights=of.weights, sha256=of.sha256, input_size=of.input_size)


def _told(identity: Identity) -> str:
    height, width = identity.encoder.input_size
    return f"{identity.encoder.name} ({identity.encoder.weights}, {height}×{width} pixels)"
