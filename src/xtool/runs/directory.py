"""A run on disk: a manifest, one line per image × method as soon as it is computed, sealed to Parquet at the end.

``records.jsonl`` is append-only. A process killed in the middle of a line leaves a torn tail, which the next reader
drops; everything before it is complete. ``records.parquet`` is written when a run is complete, for analysis elsewhere.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from pydantic import ValidationError

from xtool.errors import RunError
from xtool.runs.manifest import SCHEMA_VERSION, Manifest
from xtool.runs.records import Failure, Record, parse_line, to_line

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["MANIFEST", "RECORDS", "SEALED", "RunDirectory"]

MANIFEST = "manifest.json"
RECORDS = "records.jsonl"
SEALED = "records.parquet"
BATCH = 256
"""How many records are in memory at once while a run is sealed."""


class RunDirectory:
    """One run's directory. Make it with :meth:`create`, :meth:`resume` or :meth:`open`."""

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest
        self._stream: IO[bytes] | None = None

    @classmethod
    def create(cls, path: Path, manifest: Manifest) -> RunDirectory:
        """Start a run in a new or empty directory. Raises :class:`RunError` where a run is there already."""
        if (path / MANIFEST).exists():
            raise RunError(f"{path} contains a run already; continue it with --resume, or choose another --out")
        try:
            path.mkdir(parents=True, exist_ok=True)
            _write_whole(path / MANIFEST, manifest.as_text() + "\n")
        except OSError as error:
            raise RunError(f"{path} cannot be written: {error.strerror or error}") from error
        return cls(path, manifest)

    @classmethod
    def resume(cls, path: Path, manifest: Manifest) -> RunDirectory:
        """Continue an interrupted run, or start it where there is none yet.

        Raises :class:`RunError`, showing the difference, where the run there was made with another configuration or
        another version of something that computes.
        """
        if not (path / MANIFEST).exists():
            return cls.create(path, manifest)
        run = cls.open(path)
        different = run.manifest.identity.differences(manifest.identity)
        if different:
            told = "\n".join(f"  {line}" for line in different)
            raise RunError(
                f"{path} contains a run that was made differently, so its records and new ones could not be compared; "
                f"choose another --out\n{told}"
            )
        if run.manifest.schema_version != SCHEMA_VERSION:
            raise RunError(f"{path} contains a run of an earlier xtool, which can be read but not resumed")
        run._drop_torn_tail()
        return run

    @classmethod
    def open(cls, path: Path) -> RunDirectory:
        """Read an existing run. Raises :class:`RunError` where there is none."""
        where = path / MANIFEST
        try:
            found = json.loads(where.read_text("utf-8"))
        except FileNotFoundError as error:
            raise RunError(f"{path} contains no run: there is no {MANIFEST}") from error
        except (OSError, ValueError) as error:
            raise RunError(f"{where} cannot be read: {error}") from error
        try:
            return cls(path, Manifest.model_validate(found))
        except ValidationError as error:
            first = error.errors()[0]
            raise RunError(
                f"{where} is not a manifest of schema version 1 or {SCHEMA_VERSION}: "
                f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
            ) from error

    def append(self, record: Record | Failure) -> None:
        """Add one complete record, and hand it to the operating system at once."""
        if self._stream is None:
            self._stream = (self.path / RECORDS).open("ab", buffering=0)
        self._stream.write(to_line(record))

    def __iter__(self) -> Iterator[Record | Failure]:
        """Yield whole records in the order of writing. Raises :class:`RunError` for a line that is no record."""
        return (record for _, record in self.placed())

    def placed(self) -> Iterator[tuple[int, Record | Failure]]:
        """The same, each with the byte at which its line starts, for :meth:`at`."""
        path = self.path / RECORDS
        if not path.exists():
            return
        start = 0
        with path.open("rb") as stream:
            for number, line in enumerate(stream, start=1):
                if not line.endswith(b"\n"):
                    return  # torn by a kill
                yield start, self._parsed(line, f"line {number}")
                start += len(line)

    def at(self, start: int) -> Record | Failure:
        """The record whose line starts at this byte."""
        with (self.path / RECORDS).open("rb") as stream:
            stream.seek(start)
            return self._parsed(stream.readline(), f"byte {start}")

    def seal(self) -> Path:
        """Write all records as Parquet, atomically, and return the file."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        self.close()
        target = self.path / SEALED
        partial = target.with_suffix(".partial")
        # Twice through the file, so that no more than a batch of it is in memory: what a column holds is known only
        # at the end (a rank, say, may be missing from the first thousand images).
        schemas = [batch.schema for batch in self._tables()]
        whole = pa.unify_schemas(schemas, promote_options="permissive") if schemas else pa.schema([])
        whole = whole.with_metadata({"xtool": self.manifest.as_text()})
        with pq.ParquetWriter(partial, whole) as writer:
            for batch in self._tables(whole):
                writer.write_table(batch)
        os.replace(partial, target)
        return target

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _parsed(self, line: bytes, where: str) -> Record | Failure:
        try:
            return parse_line(line, self.manifest.schema_version)
        except ValueError as error:
            raise RunError(
                f"{self.path / RECORDS}, {where}: not a record ({error}); remove the line and --resume"
            ) from error

    def _tables(self, schema: pa.Schema | None = None) -> Iterator[pa.Table]:
        import pyarrow as pa

        records = iter(self)
        while batch := [_row(record) for record in islice(records, BATCH)]:
            yield pa.Table.from_pylist(batch, schema=schema)

    def _drop_torn_tail(self) -> None:
        path = self.path / RECORDS
        if not path.exists():
            return
        with path.open("rb+") as stream:
            whole = 0
            for line in stream:
                whole += len(line) if line.endswith(b"\n") else 0
            stream.truncate(whole)


def _row(record: Record | Failure) -> dict[str, Any]:
    """Every column, as Arrow asks the first row for them; what is empty is ``None``, as it would have no type."""
    columns = {**dict.fromkeys((*Record.model_fields, *Failure.model_fields)), **record.model_dump()}
    return {name: None if value in ({}, []) else value for name, value in columns.items()}


def _write_whole(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, "utf-8")
    os.replace(partial, path)
