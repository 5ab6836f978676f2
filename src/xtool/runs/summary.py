"""From records to results, in one reading that keeps numbers and discards maps.

Of each record there stay its IoUs, what metrics measured, and where its line is in the file; a gallery reads the few
records that it shows again. Every number is a summary of records; nothing is measured again.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xtool.errors import RunError, UsageError
from xtool.metrics.metric import Metric
from xtool.metrics.protocols import LocalizationProtocol
from xtool.metrics.registry import METRICS
from xtool.metrics.results import Results
from xtool.runs.records import Failure, Record

__all__ = ["ImageResult", "MethodResult", "Place", "Row", "Summary", "Threshold", "fixed_threshold", "summarise"]

Threshold = float | Mapping[str, float] | None
"""Fixed for every method, fixed for each by its label, or the best of the sweep (``None``)."""

Place = tuple[int, int]
"""Which of a run's directories a record is in, and the byte at which its line starts."""

LEVEL = 0.5
"""The IoU level that speaks for single images, where a protocol has several."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One method's numbers. Fractions lie in [0, 1]."""

    method: str
    images: int
    threshold: float | None
    """The threshold behind this row: the fixed one, or the best of the sweep; ``None`` for ``maxboxaccv2``, which has
    one for each of its three IoU levels."""
    values: Mapping[str, float | None]
    """By metric, in the order of :data:`xtool.metrics.registry.METRICS`; ``None`` where the data set or the method
    gives no such number, or nobody asked for it."""
    curve: tuple[float, ...] = field(repr=False)
    """GT-known at each threshold of the sweep, averaged over the protocol's IoU levels."""
    iou_curve: tuple[float, ...] = field(repr=False)
    """Box IoU at each threshold of the sweep."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageResult:
    """One method's answer for one sample, at the method's threshold."""

    index: int
    image: str
    place: Place
    iou: float
    """Best IoU of any predicted with any true box."""
    found: bool
    difference: float
    """``iou`` minus the mean of the other methods' on the same image; 0 where there is no other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodResult:
    """Everything about one method."""

    method: str
    row: Row
    threshold: float
    """The row's threshold; where the protocol has one for each IoU level, that of 0.5."""
    results: Results
    indices: NDArray[np.int64]
    """[images] which sample each entry of ``results`` is of."""
    images: tuple[ImageResult, ...]
    """In the order of the data set."""
    several: bool
    """Whether any image has more than one true box."""


@dataclass(frozen=True, slots=True, kw_only=True)
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


def summarise(
    records: Iterable[tuple[Place, Record | Failure]],
    protocol: LocalizationProtocol,
    threshold: Threshold = None,
    labels: Sequence[str] = (),
) -> Summary:
    """Read the records of one run, or of several shards of one, once.

    Args:
        records: each with its place.
        protocol: the one that the records were made with.
        threshold: fix it for every method, or for each by its label; the best of the sweep by default.
        labels: the order of the methods; by default that in which they first appear.

    Raises:
        UsageError: a threshold that is not in the sweep, or a method without one.
        RunError: records that this protocol or these metrics cannot have written.
    """
    gathered: dict[str, _Gathered] = {}
    failed: dict[int, Failure] = {}
    unanswered: dict[tuple[int, str], Failure] = {}
    for place, record in records:
        if isinstance(record, Failure):
            if record.method is None:
                failed[record.index] = record
            else:
                unanswered[record.index, record.method] = record
        else:
            if len(record.ious) != len(protocol.thresholds):
                raise RunError(
                    f"{record.method} on {record.image}: the record has {len(record.ious)} IoUs, and {protocol.name} "
                    f"has {len(protocol.thresholds)} thresholds"
                )
            with _told(f"{record.method} on {record.image}: what metrics measured"):
                gathered.setdefault(record.method, _Gathered()).add(place, record)
    gathered = {label: gathered[label] for label in dict.fromkeys((*labels, *gathered)) if label in gathered}
    whole = {index for each in gathered.values() for index in each.indices}
    results = {method: each.results(protocol, fixed_threshold(threshold, method)) for method, each in gathered.items()}
    totals = _totals(gathered, results)
    return Summary(
        methods=tuple(
            MethodResult(
                method=method,
                row=_row(method, results[method]),
                threshold=results[method].choice.thresholds[_level(protocol)],
                results=results[method],
                indices=np.frombuffer(each.indices, np.int64),
                images=_images(each, results[method], totals),
                several=each.several,
            )
            for method, each in gathered.items()
        ),
        failures=tuple(failure for index, failure in failed.items() if index not in whole),
        unanswered=_without(unanswered, gathered),
        images=len(whole),
        threshold=threshold,
    )


def _without(unanswered: Mapping[tuple[int, str], Failure], gathered: Mapping[str, _Gathered]) -> tuple[Failure, ...]:
    """Those that were not answered after all."""
    answered = {method: set(each.indices) for method, each in gathered.items()}
    return tuple(each for (index, method), each in unanswered.items() if index not in answered.get(method, ()))


def fixed_threshold(threshold: Threshold, label: str) -> float | None:
    """One method's fixed threshold; ``None`` takes the best. Raises :class:`UsageError` for a method without one."""
    if not isinstance(threshold, Mapping):
        return threshold
    if label not in threshold:
        raise UsageError(f"no threshold was chosen for {label}; there are some for {', '.join(threshold)}")
    return threshold[label]


class _Gathered:
    """What stays in memory of one method's records."""

    def __init__(self) -> None:
        self.places: list[Place] = []
        self.indices = array("q")
        self.images: list[str] = []
        self.labels: list[str] = []
        self.ious = array("d")
        self.ranks: list[int | None] = []
        self.seconds = array("d")
        self.forwards = array("d")
        self.values: dict[str, list[Any]] = {}
        self.several = False

    def add(self, place: Place, record: Record) -> None:
        for name in record.values:
            self.values.setdefault(name, [None] * len(self.places))
        for name, column in self.values.items():
            column.append(_compact(record.values.get(name)))
        self.places.append(place)
        self.indices.append(record.index)
        self.images.append(record.image)
        self.labels.append(sys.intern(record.label))
        self.ious.extend(record.ious)
        self.ranks.append(record.rank)
        self.seconds.append(record.seconds)
        self.forwards.append(record.forwards)
        self.several |= len(record.true_boxes) > 1

    def results(self, protocol: LocalizationProtocol, threshold: float | None) -> Results:
        ious = np.frombuffer(self.ious).reshape(len(self.places), -1)
        return Results(
            protocol=protocol,
            choice=protocol.choose(ious, threshold),
            labels=self.labels,
            ious=ious,
            ranks=self.ranks,
            seconds=np.frombuffer(self.seconds),
            forwards=np.frombuffer(self.forwards),
            values=self.values,
        )


def _compact(value: Any) -> Any:
    """A list as an array, of the smallest type where it counts something."""
    if not isinstance(value, list):
        return value
    numbers = np.array(value)
    counts = numbers.dtype.kind == "i" and numbers.size and numbers.min() >= 0
    return numbers.astype(np.min_scalar_type(numbers.max())) if counts else numbers


def _row(method: str, results: Results) -> Row:
    choice, protocol = results.choice, results.protocol
    levels = [protocol.accuracies(results.ious, delta) for delta in protocol.deltas]
    return Row(
        method=method,
        images=len(results.ious),
        threshold=choice.thresholds[0] if len(set(choice.thresholds)) == 1 else None,
        values={metric.info.name: _summarised(metric, method, results) for metric in METRICS},
        curve=tuple(np.mean(levels, axis=0).tolist()),
        iou_curve=tuple(results.ious.mean(axis=0).tolist()),
    )


def _summarised(metric: Metric, method: str, results: Results) -> float | None:
    with _told(f"{method}: the recorded values of {metric.info.name}"):
        return metric.summarise(results)


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Records may hold JSON of any shape under a metric's name."""
    try:
        yield
    except (TypeError, ValueError, IndexError, KeyError, OverflowError) as error:
        raise RunError(
            f"{what} cannot be read ({error}); the records were changed, or are another version's"
        ) from error


def _level(protocol: LocalizationProtocol) -> int:
    return protocol.deltas.index(LEVEL)


def _chosen_ious(results: Results) -> NDArray[np.float64]:
    chosen: NDArray[np.float64] = results.ious[:, results.choice.indices[_level(results.protocol)]]
    return chosen


def _totals(gathered: Mapping[str, _Gathered], results: Mapping[str, Results]) -> dict[int, tuple[float, int]]:
    """Sum of IoUs and number of methods of each sample, by its index."""
    totals: dict[int, tuple[float, int]] = {}
    for method, each in gathered.items():
        for index, iou in zip(each.indices, _chosen_ious(results[method]).tolist(), strict=True):
            total, count = totals.get(index, (0.0, 0))
            totals[index] = (total + iou, count + 1)
    return totals


def _images(each: _Gathered, results: Results, totals: Mapping[int, tuple[float, int]]) -> tuple[ImageResult, ...]:
    ious = _chosen_ious(results)
    found = results.protocol.is_found(ious, LEVEL)
    order = np.argsort(each.indices, kind="stable").tolist()
    return tuple(
        ImageResult(
            index=each.indices[i],
            image=each.images[i],
            place=each.places[i],
            iou=float(ious[i]),
            found=bool(found[i]),
            difference=_difference(float(ious[i]), *totals[each.indices[i]]),
        )
        for i in order
    )


def _difference(iou: float, total: float, count: int) -> float:
    return iou - (total - iou) / (count - 1) if count > 1 else 0.0
