"""A run on disk: a manifest, one line per image × method as soon as it is computed, sealed to Parquet at the end.

``records.jsonl`` is append-only. A process killed in the middle of a line leaves a torn tail, which the next reader
drops; everything before it is complete. ``records.parquet`` is written when a run is complete
(:mod:`xtool.store.sealed`): its numbers without the maps, which reports and resuming read in place of the lines.

One process at a time writes (:mod:`xtool.store.writing`). Whatever a file holds, readers get one record for each image
and method: the first.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from io import FileIO
from pathlib import Path

from pydantic import ValidationError

from xtool.errors import RunError, regular
from xtool.store.done import Done
from xtool.store.manifest import SCHEMA_VERSION, Manifest
from xtool.store.numbers import Numbers
from xtool.store.records import Failure, Record, parse_line, to_line
from xtool.store.sealed import SEALED, believed, seal
from xtool.store.writing import writing

__all__ = ["MANIFEST", "RECORDS", "SEALED", "RunDirectory"]

MANIFEST = "manifest.json"
RECORDS = "records.jsonl"
BLOCK = 1 << 16
"""Bytes that are read at once from the end of a file, to find that of its last whole line."""


class RunDirectory:
    """One run's directory. Make it with :meth:`create`, :meth:`resume` or :meth:`open`.

    One that was created or resumed keeps other writers out until it is closed.
    """

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest
        self._stream: FileIO | None = None
        self._held = ExitStack()

    @classmethod
    def create(cls, path: Path, manifest: Manifest) -> RunDirectory:
        """Start a run in a new or empty directory.

        Raises :class:`RunError` where a run, or a part of one, is there already, or the directory cannot be written.
        """
        with _to_be_written(path) as held:
            if (path / MANIFEST).exists():
                raise RunError(f"{path} contains a run already; continue it with --resume, or choose another --out")
            return cls._started(path, manifest, held)

    @classmethod
    def resume(cls, path: Path, manifest: Manifest) -> RunDirectory:
        """Continue an interrupted run, or start it where there is none yet.

        Raises :class:`RunError` where another process writes it, and, showing the difference, where it was made with
        another configuration or another version of something that computes.
        """
        with _to_be_written(path) as held:
            if not (path / MANIFEST).exists():
                return cls._started(path, manifest, held)
            run = cls.open(path)
            if run.manifest.schema_version != SCHEMA_VERSION:
                raise RunError(f"{path} contains a run of an earlier xtool, which can be read but not resumed")
            different = run.manifest.identity.differences(manifest.identity)
            if different:
                told = "\n".join(f"  {line}" for line in different)
                raise RunError(
                    f"{path} contains a run that was made differently, so its records and new ones could not be "
                    f"compared; choose another --out\n{told}"
                )
            run._drop_torn_tail()
            run._held = held.pop_all()
            return run

    @classmethod
    def _started(cls, path: Path, manifest: Manifest, held: ExitStack) -> RunDirectory:
        orphans = [name for name in (RECORDS, SEALED) if (path / name).exists()]
        if orphans:
            raise RunError(
                f"{path} contains {' and '.join(orphans)} without a {MANIFEST}, so nobody can tell what made them; "
                "choose another --out, or remove them"
            )
        with _told(path):
            _write_new(path / MANIFEST, manifest.as_text() + "\n")
        run = cls(path, manifest)
        run._held = held.pop_all()
        return run

    @classmethod
    def open(cls, path: Path) -> RunDirectory:
        """Read an existing run. Raises :class:`RunError` where there is none."""
        where = path / MANIFEST
        try:
            found = json.loads(regular(where).read_text("utf-8"))
        except FileNotFoundError as error:
            raise RunError(f"{path} contains no run: there is no {MANIFEST}") from error
        except (OSError, ValueError, RecursionError) as error:
            raise RunError(f"{where} cannot be read: {error}") from error
        try:
            return cls(path, Manifest.model_validate(found))
        except ValidationError as error:
            first = error.errors()[0]
            raise RunError(
                f"{where} is not a manifest of schema version 1 to {SCHEMA_VERSION}: "
                f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
            ) from error

    def append(self, record: Record | Failure) -> None:
        """Add one complete record, and hand it to the operating system at once.

        Raises :class:`RunError` where it cannot be written whole, for example on a full disk. Nothing of it stays, and
        what was written before can be resumed.
        """
        line = memoryview(to_line(record))
        start = None
        try:
            if self._stream is None:
                self._stream = FileIO(regular(self.path / RECORDS), "ab")
            start = self._stream.seek(0, os.SEEK_END)
            while line:
                line = line[self._stream.write(line) :]  # may write less than it was given
        except OSError as error:
            if self._stream is not None and start is not None:
                with suppress(OSError):  # else the next reader drops the torn line
                    self._stream.truncate(start)
            raise RunError(
                f"{self.path / RECORDS} cannot be written: {error.strerror or error}; what was written before is "
                "complete, and --resume continues from there"
            ) from error

    def __iter__(self) -> Iterator[Record | Failure]:
        """Yield whole records in the order of writing. Raises :class:`RunError` for a line that is no record."""
        return (record for _, record in self.placed())

    def placed(self) -> Iterator[tuple[int, Record | Failure]]:
        """The same, each with the byte at which its line starts, for :meth:`at`."""
        path = self.path / RECORDS
        seen = self._nothing_done()
        start = 0
        try:
            with regular(path).open("rb") as stream:
                for number, line in enumerate(stream, start=1):
                    if not line.endswith(b"\n"):
                        return  # torn by a kill
                    record = self._parsed(line, f"line {number}")
                    if isinstance(record, Failure) or seen.add(record.index, record.method):
                        yield start, record
                    start += len(line)
        except FileNotFoundError:
            return
        except OSError as error:
            raise RunError(f"{path} cannot be read: {error.strerror or error}") from error

    def at(self, start: int) -> Record | Failure:
        """The record whose line starts at this byte."""
        path = self.path / RECORDS
        try:
            with regular(path).open("rb") as stream:
                stream.seek(start)
                line = stream.readline()
        except OSError as error:
            raise RunError(f"{path} cannot be read: {error.strerror or error}") from error
        return self._parsed(line, f"byte {start}")

    def done(self) -> Done:
        """Which images each method has answered for. Raises :class:`RunError` for a line that is no record."""
        done = self._nothing_done()
        sealed = self._sealed()
        if sealed is None:
            for record in self:
                if isinstance(record, Record):
                    done.add(record.index, record.method)
            return done
        with sealed:
            for method, indices in sealed.answers():
                done.add_all(indices, method)
        return done

    def numbers(self) -> Numbers:
        """Everything that was recorded but maps: of a complete run from its seal, else from reading all records.

        It is a context manager, and closed by leaving it. Raises :class:`RunError` for a line that is no record.
        """
        return self._sealed() or Numbers.of(self.placed())

    def seal(self) -> Path:
        """Write the numbers of all records as Parquet, atomically, and return the file, if it is not there already.

        Raises :class:`RunError` where it cannot.
        """
        self._close_stream()
        target = self.path / SEALED
        sealed = self._sealed()
        if sealed is None:
            seal(target, self.path / RECORDS, self.placed(), self.manifest.as_text())
        else:
            sealed.close()
        return target

    def _sealed(self) -> Numbers | None:
        return believed(self.path / SEALED, self.path / RECORDS, self.manifest.as_text())

    def close(self) -> None:
        """Let others write. Records can still be read."""
        with self._held:
            self._close_stream()

    def _close_stream(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _nothing_done(self) -> Done:
        identity = self.manifest.identity
        return Done(identity.labels, self.manifest.images, identity.shard)

    def _parsed(self, line: bytes, where: str) -> Record | Failure:
        try:
            record = parse_line(line, self.manifest.schema_version)
            self._check_belongs(record)
            return record
        except ValueError as error:
            raise RunError(
                f"{self.path / RECORDS}, {where}: not a record ({error}); remove the line and --resume"
            ) from error

    def _check_belongs(self, record: Record | Failure) -> None:
        labels = self.manifest.identity.labels
        if isinstance(record, Record) and record.method not in labels:
            raise ValueError(f"method: {record.method!r} is not in this run, which has {', '.join(labels)}")
        first, step = self.manifest.identity.shard
        position, rest = divmod(record.index - first + 1, step)
        if rest or not 0 <= position < self.manifest.images:
            raise ValueError(f"index: {record.index} is no sample of this run of {self.manifest.images}")

    def _drop_torn_tail(self) -> None:
        path = self.path / RECORDS
        if not path.exists():
            return
        with _told(path), regular(path).open("rb+") as stream:
            size = end = stream.seek(0, os.SEEK_END)
            while end:
                start = max(end - BLOCK, 0)
                stream.seek(start)
                newline = stream.read(end - start).rfind(b"\n")
                if newline >= 0:
                    end = start + newline + 1
                    break
                end = start
            if end < size:  # else the file would get another date, and its seal be doubted
                stream.truncate(end)


@contextmanager
def _to_be_written(path: Path) -> Iterator[ExitStack]:
    """Make the directory and keep other writers out, beyond the block if it takes over the stack."""
    with _told(path):
        path.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        held.enter_context(writing(path))
        yield held


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RunError(f"{path} cannot be written: {error.strerror or error}") from error


def _write_new(path: Path, text: str) -> None:
    """Write a file that is not there yet, whole or not at all; of several writers one succeeds, even without locks."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        partial.write_text(text, "utf-8")
        try:
            os.link(partial, path)
        except FileExistsError:
            raise
        except OSError:  # a file system without hard links
            os.replace(partial, path)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
