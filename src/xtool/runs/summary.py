"""The results of a run, from two readings of its numbers that keep few of them in memory.

Of each record there stay its IoU at the method's threshold, what metrics measured, and where its line is in the file; a
gallery reads the few records that it shows again. Every number is a summary of records; nothing is measured again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from xtool.errors import RunError, UsageError
from xtool.metrics.metric import Metric
from xtool.metrics.protocols import LocalizationProtocol
from xtool.metrics.registry import METRICS
from xtool.metrics.results import Results
from xtool.runs.gathering import Gathered, Sweep, gather, sweep
from xtool.runs.images import ImageResults, Totals
from xtool.runs.resampling import Resampled
from xtool.runs.rows import MethodResult, Row
from xtool.store.numbers import Numbers
from xtool.store.records import Failure

__all__ = ["Summary", "Threshold", "fixed_threshold", "summarise"]

Threshold = float | Mapping[str, float] | None
"""Fixed for every method, fixed for each by its label, or the best of the sweep (``None``)."""

LEVEL = 0.5
"""The IoU level that speaks for single images, where a protocol has several."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Everything about a run."""

    methods: tuple[MethodResult, ...]
    """In the order of the run."""
    failures: tuple[Failure, ...]
    """Images that could not be used and did not succeed in a later attempt, one entry each."""
    unanswered: tuple[Failure, ...]
    """Images on which one method failed, and did not succeed in a later attempt, one entry for each of both."""
    images: int
    """With at least one record."""
    threshold: Threshold
    """As it was asked for."""

    @cached_property
    def resampled(self) -> Resampled:
        """Every number on resamples of the images: how certain it is, and whether methods differ."""
        return Resampled(self.methods)


def summarise(
    numbers: Sequence[Numbers],
    protocol: LocalizationProtocol,
    threshold: Threshold = None,
    labels: Sequence[str] = (),
) -> Summary:
    """Read the numbers of one run, or of several shards of one, twice.

    Args:
        numbers: of each shard.
        protocol: the one that the records were made with.
        threshold: fix it for every method, or for each by its label; the best of the sweep by default.
        labels: the order of the methods; by default that in which they first appear.

    Raises:
        UsageError: a threshold that is not in the sweep, or a method without one.
        RunError: records that this protocol or these metrics cannot have written.
    """
    sweeps = sweep(numbers, protocol)
    sweeps = {label: sweeps[label] for label in dict.fromkeys((*labels, *sweeps)) if label in sweeps}
    choices = {method: each.choice(fixed_threshold(threshold, method)) for method, each in sweeps.items()}
    whole = gather(
        numbers, protocol, {method: Gathered(protocol, choices[method], each.images) for method, each in sweeps.items()}
    )
    measured = np.array(sorted(whole.names), np.int64)
    results = {method: each.results() for method, each in whole.gathered.items()}
    indices = {method: each.column("index") for method, each in whole.gathered.items()}
    totals = Totals(measured)
    for method, own in indices.items():
        totals.add(own, results[method].ious[:, _level(protocol)])
    return Summary(
        methods=tuple(
            MethodResult(
                method=method,
                row=_row(method, results[method], sweeps[method]),
                threshold=results[method].choice.thresholds[_level(protocol)],
                results=results[method],
                indices=indices[method],
                images=_images(each, results[method], whole.names, totals),
                several=each.several,
            )
            for method, each in whole.gathered.items()
        ),
        failures=_unmeasured(whole.failures, whole.names),
        unanswered=_unanswered(whole.failures, indices),
        images=len(measured),
        threshold=threshold,
    )


def fixed_threshold(threshold: Threshold, label: str) -> float | None:
    """One method's fixed threshold; ``None`` takes the best. Raises :class:`UsageError` for a method without one."""
    if not isinstance(threshold, Mapping):
        return threshold
    if label not in threshold:
        raise UsageError(f"no threshold was chosen for {label}; there are some for {', '.join(threshold)}")
    return threshold[label]


def _unmeasured(failures: Sequence[Failure], names: Mapping[int, str]) -> tuple[Failure, ...]:
    """The last failure of each image that no method could use, and that no later attempt measured."""
    last = {failure.index: failure for failure in failures if failure.method is None}
    return tuple(failure for index, failure in last.items() if index not in names)


def _unanswered(failures: Sequence[Failure], indices: Mapping[str, NDArray[np.int64]]) -> tuple[Failure, ...]:
    """The last failure of each method on each image, without those that were answered after all."""
    found: list[Failure] = []
    last = {(failure.method, failure.index): failure for failure in failures if failure.method is not None}
    for method in dict.fromkeys(method for method, _ in last):
        own = [failure for (of, _), failure in last.items() if of == method]
        answered = np.isin([failure.index for failure in own], indices.get(method, np.zeros(0, np.int64)))
        found += [failure for failure, there in zip(own, answered.tolist(), strict=True) if not there]
    return tuple(found)


def _row(method: str, results: Results, sweep: Sweep) -> Row:
    choice = results.choice
    return Row(
        method=method,
        images=sweep.images,
        threshold=choice.thresholds[0] if len(set(choice.thresholds)) == 1 else None,
        values={metric.info.name: _summarised(metric, method, results) for metric in METRICS},
        curve=tuple(np.mean(sweep.rates, axis=0).tolist()),
        iou_curve=tuple(sweep.means.tolist()),
    )


def _summarised(metric: Metric, method: str, results: Results) -> float | None:
    try:
        return metric.summarise(results)
    except (TypeError, ValueError, IndexError, KeyError, OverflowError) as error:
        raise RunError(
            f"{method}: the recorded values of {metric.info.name} cannot be read ({error}); the records were changed, "
            "or are another version's"
        ) from error


def _level(protocol: LocalizationProtocol) -> int:
    return protocol.deltas.index(LEVEL)


def _images(gathered: Gathered, results: Results, names: Mapping[int, str], totals: Totals) -> ImageResults:
    indices = gathered.column("index")
    # As records are written, they are in order but for resumed runs and shards: nothing is copied.
    order = slice(None) if (np.diff(indices) > 0).all() else np.argsort(indices)
    ious = results.ious[order, _level(results.protocol)]
    return ImageResults(
        names=names,
        indices=indices[order],
        directories=gathered.column("directory")[order],
        starts=gathered.column("start")[order],
        iou=ious,
        found=results.protocol.is_found(ious, LEVEL),
        totals=totals,
    )
