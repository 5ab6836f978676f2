"""The seal of a complete run: ``records.parquet``, which is believed only as long as it is that of these records.

It says how many bytes of ``records.jsonl`` it was made from, when these were last changed, and their SHA-256. Size and
time are looked at first; where only the time differs, as after a copy, the file is read through. So a file that was
changed, or that belongs elsewhere, costs time and no number.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xtool.errors import RunError, regular
from xtool.store.numbers import Numbers, schema, write

if TYPE_CHECKING:
    from xtool.store.records import Failure, Record

__all__ = ["SEALED", "believed", "seal"]

SEALED = "records.parquet"
FORMAT = 1
"""Of the columns; they may change without a change of the records."""
MANIFEST = b"xtool"
OF = b"xtool_records"
"""Names of the entries in the file's metadata: the manifest, and which records it was made from."""


def seal(target: Path, records: Path, placed: Iterable[tuple[int, Record | Failure]], manifest: str) -> None:
    """Write the numbers of all records as Parquet, whole or not at all.

    Raises :class:`RunError` where it cannot be written, and for values that no metric records.
    """
    partial = target.with_suffix(".partial")
    try:
        told = {**_stamp(records), "sha256": _sha256(records)} if records.exists() else {}
        metadata = {MANIFEST.decode(): manifest, OF.decode(): json.dumps({"format": FORMAT, **told})}
        write(partial, placed, metadata)
        os.replace(partial, target)
    except OSError as error:
        raise RunError(
            f"{target} cannot be written: {error.strerror or error}; all records are complete, and --resume writes "
            "it from them"
        ) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def believed(target: Path, records: Path, manifest: str) -> Numbers | None:
    """The numbers of a run whose seal is that of its records and its manifest; ``None`` where it is not, or damaged."""
    import pyarrow as pa

    try:
        with ExitStack() as opened:
            numbers = opened.enter_context(Numbers(regular(target), str(target)))
            about = numbers.schema.metadata or {}
            told = json.loads(about[OF])
            same = about[MANIFEST].decode() == manifest and told["format"] == FORMAT
            if not same or numbers.schema.names != schema().names or not _is_of(told, records):
                return None
            opened.pop_all()
            return numbers
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException):
        return None


def _is_of(told: dict[str, Any], records: Path) -> bool:
    now = _stamp(records)
    if told["bytes"] != now["bytes"]:
        return False
    return bool(told["modified"] == now["modified"] or told["sha256"] == _sha256(records))


def _stamp(records: Path) -> dict[str, int]:
    status = records.stat()
    return {"bytes": status.st_size, "modified": status.st_mtime_ns}


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
