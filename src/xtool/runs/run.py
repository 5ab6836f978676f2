"""A finished or interrupted run, read back: rows, failures, a table, and JSON for machines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xtool.errors import RunError
from xtool.runs.records import Record, RunDirectory
from xtool.runs.summary import Row, Threshold, failures, summarise

if TYPE_CHECKING:
    from rich.table import Table


class Run:
    """One run, or several shards of one run seen as one."""

    def __init__(self, directory: RunDirectory, threshold: Threshold = None, *more: RunDirectory) -> None:
        self.directories = (directory, *more)
        self.threshold = threshold
        self._records: list[Record] | None = None

    @classmethod
    def open(cls, path: str | Path, threshold: Threshold = None) -> Run:
        """Read a run back from its directory. Raises :class:`xtool.plugin.RunError` where there is none."""
        return cls(RunDirectory.open(Path(path)), threshold)

    @property
    def path(self) -> Path:
        return self.directories[0].path

    @property
    def manifest(self) -> dict[str, Any]:
        return self.directories[0].manifest

    @property
    def identity(self) -> dict[str, Any]:
        identity: dict[str, Any] = self.manifest["identity"]
        return identity

    @property
    def records(self) -> list[Record]:
        """All whole records."""
        if self._records is None:
            self._records = [record for directory in self.directories for record in directory]
        return self._records

    def rows(self) -> list[Row]:
        """One row per method."""
        return summarise(self.records, self.identity["protocol"], self.threshold)

    def chosen_thresholds(self) -> dict[str, float]:
        """The best threshold of each method on this run, to be applied to another one."""
        return {row.method: row.threshold for row in self.rows() if row.threshold is not None}

    def failures(self) -> list[Record]:
        """Images that could not be used, with file and reason."""
        return failures(self.records)

    def images(self) -> int:
        """Images with at least one record."""
        return len({record["index"] for record in self.records if "method" in record})

    def table(self) -> Table:
        """The comparison, for a terminal."""
        from xtool.report.terminal import comparison_table

        return comparison_table([self])

    def as_json(self) -> dict[str, Any]:
        """The comparison, for machines. Fractions lie in [0, 1]."""
        identity = self.identity
        rows = [
            {key: value for key, value in asdict(row).items() if key not in ("curve", "iou_curve")}
            for row in self.rows()
        ]
        return {
            "run": str(self.path),
            "dataset": identity["dataset"]["name"],
            "encoder": identity["encoder"]["name"],
            "weights": identity["encoder"]["weights"],
            "protocol": identity["protocol"],
            "images": self.images(),
            "failed": len(self.failures()),
            "rows": rows,
        }


def open_runs(paths: Sequence[str | Path], threshold: Threshold = None) -> list[Run]:
    """Read runs back, with shards of one run merged into one.

    Raises:
        RunError: a directory holds no run, or the same shard is given twice.
    """
    merged: dict[str, list[RunDirectory]] = {}
    for path in paths:
        directory = RunDirectory.open(Path(path))
        whole = {key: value for key, value in directory.manifest["identity"].items() if key != "shard"}
        # A run that is not sharded stands alone, even beside its own copy.
        key = repr(whole) if directory.manifest["identity"]["shard"][1] > 1 else str(directory.path)
        merged.setdefault(key, []).append(directory)
    for directories in merged.values():
        shards = [tuple(directory.manifest["identity"]["shard"]) for directory in directories]
        if len(set(shards)) < len(shards):
            told = ", ".join(str(directory.path) for directory in directories)
            raise RunError(f"the same shard is given twice, among {told}")
        if len({n for _, n in shards}) > 1:
            raise RunError(
                f"shards of different divisions cannot be merged: {', '.join(f'{i}/{n}' for i, n in shards)}"
            )
    return [Run(directories[0], threshold, *directories[1:]) for directories in merged.values()]
