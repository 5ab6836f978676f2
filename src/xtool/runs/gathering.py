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
from xtool.metrics.protocols import Choice, LocalizationProtocol
from xtool.metrics.registry import METRICS
from xtool.metrics.results import Results
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
    """What stays in memory of one method's records, in parts of some images each."""

    def __init__(self, choice: Choice) -> None:
        self.choice = choice
        self.several = False
        """Whether any image has more than one true box."""
        self._parts: dict[str, list[NDArray[Any]]] = {}
        self._values: dict[str, list[Floats | int]] = {}

    def add(self, part: Mapping[str, NDArray[Any]], values: Mapping[str, Floats]) -> None:
        """Some images' columns, and what metrics recorded of them; a metric that did of none is left out."""
        for name, array in part.items():
            self._parts.setdefault(name, []).append(array)
        for name, metric in KEEPING.items():
            known = self._values.setdefault(name, [])
            there = name in values and not np.isnan(values[name]).all()
            known.append(metric.keep(values[name], self.choice) if there else len(part["index"]))

    def column(self, name: str) -> NDArray[Any]:
        """[images, ...] put together; it can be asked for once, as its parts are let go."""
        return np.concatenate(self._parts.pop(name))

    def results(self, protocol: LocalizationProtocol) -> Results:
        """What metrics summarise. It can be asked for once."""
        return Results(
            protocol=protocol,
            choice=self.choice,
            labels=self.column("label"),
            ious=self.column("ious"),
            ranks=self.column("rank"),
            seconds=self.column("seconds"),
            forwards=self.column("forwards"),
            values={name: kept for name in KEEPING if (kept := self._kept(name, protocol)) is not None},
        )

    def _kept(self, name: str, protocol: LocalizationProtocol) -> Floats | None:
        parts = self._values.pop(name)
        if all(isinstance(part, int) for part in parts):
            return None
        shape = _shape(name, protocol)
        return np.concatenate(
            [
                KEEPING[name].keep(np.full((part, *shape), np.nan), self.choice) if isinstance(part, int) else part
                for part in parts
            ]
        )


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


def gather(numbers: Sequence[Numbers], protocol: LocalizationProtocol, choices: Mapping[str, Choice]) -> Whole:
    """The second reading, at the thresholds of ``choices``. Raises :class:`RunError` for values no metric records."""
    whole = Whole({method: Gathered(choice) for method, choice in choices.items()})
    columns = ("method", "image", "label", "ious", "true_boxes", "error", *ONE_EACH, *SHAPES)
    for directory, part in enumerate(numbers):
        for table in part.batches(columns):
            _add(whole, directory, table, protocol)
    return whole


def _add(whole: Whole, directory: int, table: pa.Table, protocol: LocalizationProtocol) -> None:
    _add_failures(whole, table)
    columns = {name: _column(table, name) for name in ONE_EACH}
    columns["label"] = _labels(whole.labels, table)
    columns["directory"] = np.full(len(table), directory, np.int32)
    ious = _ious(table, protocol)
    values = {name: _values(table, name, protocol) for name in SHAPES if table[name].null_count < len(table)}
    boxes = table["true_boxes"].combine_chunks().value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    for method, rows in _by_method(table):
        gathered = whole.gathered[method]
        part = {name: column[rows] for name, column in columns.items()}
        part["ious"] = ious[rows][:, list(gathered.choice.indices)]
        gathered.add(part, {name: column[rows] for name, column in values.items()})
        gathered.several |= bool((boxes[rows] > 1).any())
        for index, row in zip(part["index"].tolist(), rows.tolist(), strict=True):
            if index not in whole.names:
                whole.names[index] = table["image"][row].as_py()


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
