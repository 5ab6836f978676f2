"""From a run's numbers to those that stay in memory, in two readings.

The first finds each method's thresholds, for which it needs the IoUs at all of them, and keeps only sums. The second
keeps what is said of each image at these thresholds: some hundred bytes for a record.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xtool.errors import RunError
from xtool.metrics.metric import Metric
from xtool.metrics.protocols import Choice, LocalizationProtocol
from xtool.metrics.registry import METRICS
from xtool.metrics.results import Results
from xtool.runs.growing import Growing
from xtool.store.numbers import SHAPES, Numbers, flat
from xtool.store.records import Failure

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Gathered", "Sweep", "Whole", "gather", "sweep"]

Floats = NDArray[np.float64]

KEEPING = {metric.info.name: metric for metric in METRICS if metric.info.name in SHAPES}
ONE_EACH = ("index", "rank", "seconds", "forwards", "start")


class Sweep:
    """One method's sums over images, at each threshold of the protocol."""

    def __init__(self, protocol: LocalizationProtocol) -> None:
        self._protocol = protocol
        self.images = 0
        self._found = np.zeros((len(protocol.deltas), len(protocol.thresholds)), np.int64)
        self._ious = np.zeros(len(protocol.thresholds))

    def add(self, ious: Floats) -> None:
        """The IoUs [N, thresholds] of some images."""
        self.images += len(ious)
        self._ious += ious.sum(axis=0)
        for found, delta in zip(self._found, self._protocol.deltas, strict=True):
            found += self._protocol.is_found(ious, delta).sum(axis=0)

    @property
    def rates(self) -> Floats:
        """[deltas, thresholds] the share of images found."""
        return self._found / self.images

    @property
    def means(self) -> Floats:
        """[thresholds] the mean best IoU."""
        return self._ious / self.images

    def choice(self, threshold: float | None) -> Choice:
        """The best threshold, or a given one."""
        return self._protocol.choice_of(list(self.rates), self.means, threshold)


def sweep(numbers: Sequence[Numbers], protocol: LocalizationProtocol) -> dict[str, Sweep]:
    """The first reading: by method. Raises :class:`RunError` for records of another protocol."""
    found: dict[str, Sweep] = {}
    for part in numbers:
        for table in part.batches(("method", "image", "ious")):
            ious = _ious(table, protocol)
            for method, rows in _by_method(table):
                found.setdefault(method, Sweep(protocol)).add(ious[rows])
    return found


class Gathered:
    """What stays in memory of one method's records."""

    def __init__(self, protocol: LocalizationProtocol, choice: Choice, images: int) -> None:
        """``images`` are to be added, some at a time."""
        self.several = False
        """Whether any image has more than one true box."""
        self.choice = choice
        self._protocol = protocol
        self._images = images
        self._added = 0
        self._columns: dict[str, Growing] = {}
        self._values: dict[str, Growing] = {}

    def add(self, part: Mapping[str, NDArray[Any]], values: Mapping[str, Floats]) -> None:
        """Some images' columns, and what metrics recorded of them, NaN where they did not."""
        images = len(part["index"])
        for name, array in part.items():
            if name not in self._columns:
                self._columns[name] = Growing(array, self._images)
            self._columns[name].add(array)
        for name, metric in KEEPING.items():
            known = self._values.get(name)
            if name in values and not np.isnan(values[name]).all():
                kept = metric.keep(values[name], self.choice)
                if known is None:
                    known = self._values[name] = Growing(kept, self._images * len(kept) // images)
                    known.add(self._nothing(metric, self._added))
                known.add(kept)
            elif known is not None:
                known.add(self._nothing(metric, images))
        self._added += images

    def column(self, name: str) -> NDArray[Any]:
        """[images, ...]"""
        return self._columns[name].whole()

    def results(self) -> Results:
        """What metrics summarise."""
        return Results(
            protocol=self._protocol,
            choice=self.choice,
            labels=self.column("label"),
            ious=self.column("ious"),
            ranks=self.column("rank"),
            seconds=self.column("seconds"),
            forwards=self.column("forwards"),
            values={name: self._values[name].whole() for name in KEEPING if name in self._values},
        )

    def _nothing(self, metric: Metric, images: int) -> Floats:
        """What is kept of images on which a metric was not measured."""
        unmeasured = np.full((1, *_shape(metric.info.name, self._protocol)), np.nan)
        return metric.keep(unmeasured, self.choice).repeat(images, axis=0)


@dataclass(slots=True)
class Whole:
    """What the second reading finds."""

    gathered: dict[str, Gathered]
    """By method."""
    names: dict[int, str] = field(default_factory=dict)
    """Ids of the measured samples, by their index."""
    failures: list[Failure] = field(default_factory=list)
    """In the order of the records."""
    labels: dict[str, int] = field(default_factory=dict)
    """A number for each label."""


def gather(numbers: Sequence[Numbers], protocol: LocalizationProtocol, gathered: dict[str, Gathered]) -> Whole:
    """The second reading, which fills ``gathered``. Raises :class:`RunError` for values that no metric records."""
    whole = Whole(gathered)
    columns = ("method", "image", "label", "ious", "true_boxes", "error", *ONE_EACH, *SHAPES)
    for directory, part in enumerate(numbers):
        for table in part.batches(columns):
            _add(whole, directory, table, protocol)
    return whole


def _add(whole: Whole, directory: int, table: pa.Table, protocol: LocalizationProtocol) -> None:
    _add_failures(whole, table)
    _add_names(whole.names, table)
    columns = {name: _column(table, name) for name in ONE_EACH}
    columns["label"] = _labels(whole.labels, table)
    columns["directory"] = np.full(len(table), directory, np.int32)
    ious = _ious(table, protocol)
    values = {name: _values(table, name, protocol) for name in SHAPES if table[name].null_count < len(table)}
    boxes = table["true_boxes"].combine_chunks().value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    for method, rows in _by_method(table):
        gathered = whole.gathered[method]
        part = {name: column[rows] for name, column in columns.items()}
        part["ious"] = ious[rows[:, None], list(gathered.choice.indices)]
        gathered.add(part, {name: column[rows] for name, column in values.items()})
        gathered.several |= bool((boxes[rows] > 1).any())


def _add_names(known: dict[int, str], table: pa.Table) -> None:
    images = table["image"].combine_chunks()
    texts, codes = images.dictionary.to_pylist(), images.indices.to_numpy()
    measured = np.flatnonzero(table["ious"].combine_chunks().is_valid().to_numpy(zero_copy_only=False))
    indices, first = np.unique(table["index"].to_numpy()[measured], return_index=True)
    for index, row in zip(indices.tolist(), measured[first].tolist(), strict=True):
        known.setdefault(index, texts[codes[row]])


def _add_failures(whole: Whole, table: pa.Table) -> None:
    import pyarrow.compute as pc

    if table["error"].null_count < len(table):
        failed = table.select(["index", "image", "error", "method"]).filter(pc.is_valid(table["error"]))
        whole.failures += [Failure.model_validate(row) for row in failed.to_pylist()]


def _by_method(table: pa.Table) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """The rows of each method's records, in order; those of failures belong to none."""
    methods = table["method"].combine_chunks()
    codes = methods.indices.fill_null(-1).to_numpy(zero_copy_only=False).copy()
    codes[table["ious"].combine_chunks().is_null().to_numpy(zero_copy_only=False)] = -1
    for code, method in enumerate(methods.dictionary.to_pylist()):
        rows = np.flatnonzero(codes == code)
        if rows.size:
            yield method, rows


def _ious(table: pa.Table, protocol: LocalizationProtocol) -> Floats:
    """[rows, thresholds], NaN for failures."""
    try:
        return flat(table["ious"], len(protocol.thresholds))
    except ValueError as error:
        lengths = table["ious"].combine_chunks().value_lengths().to_numpy(zero_copy_only=False)
        row = int(np.flatnonzero((lengths != len(protocol.thresholds)) & ~np.isnan(lengths))[0])
        raise RunError(
            f"{table['method'][row]} on {table['image'][row]}: the record has {int(lengths[row])} IoUs, and "
            f"{protocol.name} has {len(protocol.thresholds)} thresholds"
        ) from error


def _labels(known: dict[str, int], table: pa.Table) -> NDArray[np.int32]:
    """[rows] a number for each row's label; the same one for the same label, wherever it is."""
    labels = table["label"].combine_chunks()
    numbers = [known.setdefault(label, len(known)) for label in labels.dictionary.to_pylist()]
    found: NDArray[np.int32] = np.array([*numbers, -1], np.int32)[
        labels.indices.fill_null(len(numbers)).to_numpy(zero_copy_only=False)
    ]
    return found


def _column(table: pa.Table, name: str) -> NDArray[Any]:
    """[rows] 0 where there is nothing."""
    column: NDArray[Any] = table[name].combine_chunks().fill_null(0).to_numpy(zero_copy_only=False)
    return column


def _values(table: pa.Table, name: str, protocol: LocalizationProtocol) -> Floats:
    """[rows, ...] what a metric recorded, NaN where it did not."""
    shape = _shape(name, protocol)
    if not shape:
        single: Floats = table[name].combine_chunks().to_numpy(zero_copy_only=False)
        return single
    try:
        return flat(table[name], math.prod(shape)).reshape(-1, *shape)
    except ValueError as error:
        raise RunError(
            f"the recorded values of {name} cannot be read ({error}); the records were changed, or are another "
            "version's"
        ) from error


def _shape(name: str, protocol: LocalizationProtocol) -> tuple[int, ...]:
    return tuple(len(protocol.thresholds) if length is None else length for length in SHAPES[name])
