"""A finished or interrupted run, read back: results, boxes, a table, and JSON for machines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xtool.contracts.protocols import Calibration
from xtool.errors import RunError
from xtool.image.geometry import Geometry
from xtool.metrics.image_map import ImageMap
from xtool.metrics.protocols import LocalizationProtocol, get_protocol
from xtool.paint.verdicts import Verdict
from xtool.runs.differences import compared
from xtool.runs.images import ImageResult
from xtool.runs.resampling import Resampled
from xtool.runs.rows import MethodResult, Row
from xtool.runs.summary import Summary, Threshold, summarise
from xtool.runs.table import ComparisonTable
from xtool.store.directory import RunDirectory
from xtool.store.manifest import Identity, Manifest
from xtool.store.records import Failure, Record

if TYPE_CHECKING:
    from xtool.metrics.box_finders import Boxes

__all__ = ["Run", "open_runs"]


class Run:
    """One run, or several shards of one run seen as one. Its records are read once, when a result is asked for."""

    def __init__(self, directories: Sequence[RunDirectory], threshold: Threshold = None) -> None:
        self.directories = tuple(directories)
        self.threshold = threshold

    @classmethod
    def open(cls, path: str | Path, threshold: Threshold = None) -> Run:
        """Read a run back from its directory. Raises :class:`xtool.errors.RunError` where there is none."""
        return cls([RunDirectory.open(Path(path))], threshold)

    @property
    def path(self) -> Path:
        return self.directories[0].path

    @property
    def manifest(self) -> Manifest:
        return self.directories[0].manifest

    @property
    def identity(self) -> Identity:
        return self.manifest.identity

    @property
    def protocol(self) -> LocalizationProtocol:
        return get_protocol(self.identity.protocol)

    @cached_property
    def summary(self) -> Summary:
        """All results of the run. Its records are read once, or not at all where they are sealed."""
        with ExitStack() as opened:
            numbers = [opened.enter_context(directory.numbers()) for directory in self.directories]
            return summarise(numbers, self.protocol, self.threshold, self.identity.labels)

    @property
    def results(self) -> tuple[MethodResult, ...]:
        """One result per method."""
        return self.summary.methods

    @property
    def resampled(self) -> Resampled:
        """Every number on resamples of the images: how certain it is, and whether methods differ."""
        return self.summary.resampled

    def rows(self) -> list[Row]:
        """One row of numbers per method."""
        return [result.row for result in self.results]

    def chosen_thresholds(self) -> dict[str, float]:
        """The best threshold of each method on this run, to be applied to another one."""
        return {row.method: row.threshold for row in self.rows() if row.threshold is not None}

    def failures(self) -> tuple[Failure, ...]:
        """Images that could not be used, with file and reason."""
        return self.summary.failures

    def unanswered(self) -> tuple[Failure, ...]:
        """Images on which one method failed, with its label and the reason."""
        return self.summary.unanswered

    def images(self) -> int:
        """Images with at least one record."""
        return self.summary.images

    def records(self) -> Iterator[Record]:
        """Every complete record, read from the files one after the other."""
        return (record for directory in self.directories for record in directory if isinstance(record, Record))

    def record(self, result: ImageResult) -> Record:
        """The record behind one image's result, read again."""
        directory, start = result.place
        record = self.directories[directory].at(start)
        if not isinstance(record, Record):
            raise RunError(f"{self.directories[directory].path} was changed while it was read")
        return record

    @cached_property
    def calibrations(self) -> dict[str, Calibration]:
        """What the verdicts of each method went by, for those that were calibrated."""
        told = {method["label"]: method.get("calibration") for method in self.identity.methods}
        return {label: Calibration(**fields) for label, fields in told.items() if fields is not None}

    def verdict(self, record: Record) -> Verdict:
        """What a record says of its label, in the words that people read; what is scored is ``record.present``."""
        calibration = self.calibrations.get(record.method)
        if calibration is not None and record.score is not None and calibration.unsure(record.score):
            return Verdict.UNSURE
        return Verdict.of(record.present)

    @property
    def has_maps(self) -> bool:
        """Whether the run keeps maps, without which there are no pictures, no counts and no other protocol."""
        return self.identity.maps != "none"

    def image_map(self, record: Record) -> ImageMap:
        """A record's map, at the resolution of its image. Raises :class:`RunError` in a run that keeps none."""
        if record.map is None:
            raise RunError(f"{self.path} keeps no maps (--maps none), so no boxes can be made again")
        return ImageMap(
            record.map.unpack(),
            Geometry.of(record.image_size, self.identity.encoder.input_size, self.identity.fit),
        )

    def boxes(self, record: Record, threshold: float) -> Boxes:
        """[K, 4] the boxes of a record's map that are scored at a threshold; half-open, in image pixels."""
        return self.protocol.boxes(self.image_map(record), threshold)

    def table(self, *, intervals: bool = False) -> ComparisonTable:
        """The comparison, for a terminal: print it with Rich. ``intervals`` puts below each number its interval."""
        return ComparisonTable([(self.identity, self.summary)], intervals=intervals)

    def as_json(self) -> dict[str, Any]:
        """The comparison, for machines: rows with 95 % intervals, and paired differences. Fractions lie in [0, 1]."""
        identity = self.identity
        return {
            "run": str(self.path),
            "dataset": identity.dataset.name,
            "encoder": identity.encoder.name,
            "weights": identity.encoder.weights,
            "protocol": identity.protocol,
            "images": self.images(),
            "failed": len(self.failures()),
            "unanswered": [each.model_dump(exclude={"index"}) for each in self.unanswered()],
            "rows": [
                {
                    "method": row.method,
                    "images": row.images,
                    "threshold": row.threshold,
                    **row.values,
                    "intervals": self.resampled.intervals(number),
                }
                for number, row in enumerate(self.rows())
            ],
            "differences": [each.as_json() for each in compared(self.resampled)],
        }


def open_runs(paths: Sequence[str | Path], threshold: Threshold = None) -> list[Run]:
    """Read runs back, with shards of one run merged into one.

    Raises:
        RunError: a directory contains no run, or the same shard is given twice.
    """
    merged: dict[str, list[RunDirectory]] = {}
    for path in paths:
        directory = RunDirectory.open(Path(path))
        identity = directory.manifest.identity
        # A run that is not sharded stands alone, even beside its own copy.
        key = identity.model_dump_json(exclude={"shard"}) if identity.shard[1] > 1 else str(directory.path)
        merged.setdefault(key, []).append(directory)
    for directories in merged.values():
        shards = [directory.manifest.identity.shard for directory in directories]
        if len(set(shards)) < len(shards):
            told = ", ".join(str(directory.path) for directory in directories)
            raise RunError(f"the same shard is given twice, among {told}")
        if len({n for _, n in shards}) > 1:
            raise RunError(
                f"shards of different divisions cannot be merged: {', '.join(f'{i}/{n}' for i, n in shards)}"
            )
    return [Run(directories, threshold) for directories in merged.values()]
