"""A run on disk: a manifest, one line per image × method as soon as it is computed, sealed to Parquet at the end.

``records.jsonl`` is append-only. A process killed in the middle of a line leaves a torn tail, which the next reader
drops; everything before it is whole. ``records.parquet`` is written when a run is complete, for analysis elsewhere.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from xtool.errors import RunError

MANIFEST = "manifest.json"
RECORDS = "records.jsonl"
SEALED = "records.parquet"
SCHEMA_VERSION = 1

Record = dict[str, Any]


class RunDirectory:
    """One run's directory. Make it with :meth:`create`, :meth:`resume` or :meth:`open`."""

    def __init__(self, path: Path, manifest: Mapping[str, Any]) -> None:
        self.path = path
        self.manifest = dict(manifest)
        self._stream: IO[bytes] | None = None

    @classmethod
    def create(cls, path: Path, manifest: Mapping[str, Any]) -> RunDirectory:
        """Start a run in a new or empty directory. Raises :class:`RunError` where a run is there already."""
        if (path / MANIFEST).exists():
            raise RunError(f"{path} holds a run already; continue it with --resume, or choose another --out")
        try:
            path.mkdir(parents=True, exist_ok=True)
            _write_whole(path / MANIFEST, json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")
        except OSError as error:
            raise RunError(f"{path} cannot be written: {error.strerror or error}") from error
        return cls(path, manifest)

    @classmethod
    def resume(cls, path: Path, manifest: Mapping[str, Any]) -> RunDirectory:
        """Go on with an interrupted run, or start it where there is none yet.

        Raises :class:`RunError`, showing the difference, where the run there was made with another configuration.
        """
        if not (path / MANIFEST).exists():
            return cls.create(path, manifest)
        run = cls.open(path)
        # Through JSON, so that tuples and lists compare alike.
        there, here = _flat(run.manifest.get("identity", {})), _flat(json.loads(json.dumps(manifest["identity"])))
        different = [key for key in sorted({*there, *here}) if there.get(key) != here.get(key)]
        if different:
            told = "\n".join(f"  {key}: {there.get(key)!r} there, {here.get(key)!r} now" for key in different)
            raise RunError(f"{path} holds a run with another configuration; choose another --out\n{told}")
        run._drop_torn_tail()
        return run

    @classmethod
    def open(cls, path: Path) -> RunDirectory:
        """Read an existing run. Raises :class:`RunError` where there is none."""
        try:
            manifest = json.loads((path / MANIFEST).read_text("utf-8"))
        except FileNotFoundError as error:
            raise RunError(f"{path} holds no run: there is no {MANIFEST}") from error
        except (OSError, ValueError) as error:
            raise RunError(f"{path / MANIFEST} cannot be read: {error}") from error
        if not isinstance(manifest, dict) or manifest.get("schema_version") != SCHEMA_VERSION:
            raise RunError(f"{path / MANIFEST} is no manifest of schema version {SCHEMA_VERSION}")
        return cls(path, manifest)

    def append(self, record: Record) -> None:
        """Add one record, whole, and hand it to the operating system at once."""
        if self._stream is None:
            self._stream = (self.path / RECORDS).open("ab", buffering=0)
        self._stream.write(json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")

    def __iter__(self) -> Iterator[Record]:
        """Yield whole records in the order of writing. Raises :class:`RunError` for a line that is no record."""
        path = self.path / RECORDS
        if not path.exists():
            return
        with path.open("rb") as stream:
            for number, line in enumerate(stream, start=1):
                if not line.endswith(b"\n"):
                    return  # torn by a kill
                try:
                    record = json.loads(line)
                except ValueError as error:
                    raise RunError(
                        f"{path}, line {number}: no record ({error}); remove the line and --resume"
                    ) from error
                yield record

    def seal(self) -> Path:
        """Write all records as Parquet, atomically, and return the file."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        self.close()
        target = self.path / SEALED
        partial = target.with_suffix(".partial")
        table = pa.Table.from_pylist(list(self))
        pq.write_table(table.replace_schema_metadata({"xtool": json.dumps(self.manifest)}), partial)
        os.replace(partial, target)
        return target

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _drop_torn_tail(self) -> None:
        path = self.path / RECORDS
        if not path.exists():
            return
        with path.open("rb+") as stream:
            data = stream.read()
            stream.truncate(data.rfind(b"\n") + 1)


def _write_whole(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, "utf-8")
    os.replace(partial, path)


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(value, dict):
        return {
            k: v for key, item in value.items() for k, v in _flat(item, f"{prefix}.{key}" if prefix else key).items()
        }
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        return {k: v for index, item in enumerate(value) for k, v in _flat(item, f"{prefix}[{index}]").items()}
    return {prefix: value}
