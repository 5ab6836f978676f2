"""A run's numbers in columns, a few thousand records at a time: all that a summary reads, and ``records.parquet``.

Everything of a record but its map. A column holds numbers, so that reading half a million records makes no objects;
where each record's line starts is a column, too, and leads back to its map.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xtool.errors import RunError
from xtool.metrics.registry import METRICS
from xtool.store.packed import Packed
from xtool.store.records import Failure, Record

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["BATCH", "SHAPES", "Numbers", "flat", "schema", "write"]

BATCH = 2048
"""Records in memory at once."""
IN_MEMORY = 1 << 25
"""Bytes of numbers that are not worth a temporary file."""

SHAPES: dict[str, tuple[int | None, ...]] = {
    metric.info.name: metric.shape for metric in METRICS if metric.shape is not None
}
"""By metric that records something: the shape of an image's numbers; ``None`` in it is the number of thresholds."""
NAMES = ("image", "method", "label")
"""Columns in which few texts are repeated often."""


class Numbers(AbstractContextManager["Numbers"]):
    """An open file of numbers, to be read as often as one likes and closed at the end."""

    def __init__(self, source: Any, name: str) -> None:
        """``source`` is a path or an open file, and ``name`` what an error calls it.

        Raises :class:`OSError` or :class:`pyarrow.ArrowException` where it is no Parquet file.
        """
        import pyarrow.parquet as pq

        self._file = pq.ParquetFile(source, read_dictionary=list(NAMES), page_checksum_verification=True)
        self._name = name
        self._spool: IO[bytes] | None = None

    @classmethod
    def of(cls, placed: Iterable[tuple[int, Record | Failure]]) -> Numbers:
        """Of records, each with the byte at which its line starts; in a temporary file if they are many."""
        with ExitStack() as opened:
            spool: IO[bytes] = opened.enter_context(tempfile.SpooledTemporaryFile(max_size=IN_MEMORY))
            write(spool, placed)
            spool.seek(0)
            numbers = cls(spool, "a temporary file")
            opened.pop_all()
            numbers._spool = spool
            return numbers

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Nothing can be read afterwards."""
        import pyarrow as pa

        self._file.close()
        pa.default_memory_pool().release_unused()  # what it was read with, some 30 MB
        if self._spool is not None:
            self._spool.close()

    @property
    def schema(self) -> pa.Schema:
        return self._file.schema_arrow

    def answers(self) -> Iterator[tuple[str, NDArray[np.int64]]]:
        """Methods, and the indices of samples that they answered for. Raises :class:`RunError` for a damaged file."""
        for table in self.batches(("index", "method", "error")):
            methods = table["method"].combine_chunks()
            # An image that failed is no answer, whoever failed on it.
            answered = table["error"].combine_chunks().is_null().to_numpy(zero_copy_only=False)
            codes = np.where(answered, methods.indices.fill_null(-1).to_numpy(zero_copy_only=False), -1)
            indices = table["index"].to_numpy()
            for code, method in enumerate(methods.dictionary.to_pylist()):
                yield method, indices[codes == code]

    def batches(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Tables with these columns, in the order of the records. Raises :class:`RunError` for a damaged file."""
        import pyarrow as pa

        try:
            for group in range(self._file.num_row_groups):
                yield self._file.read_row_group(group, columns=list(columns), use_threads=False)
        except (OSError, pa.ArrowException) as error:
            raise RunError(f"{self._name} is damaged ({error}); remove it, and --resume writes it again") from error


def write(
    target: Path | IO[bytes], placed: Iterable[tuple[int, Record | Failure]], metadata: Mapping[str, str] | None = None
) -> None:
    """Write records as Parquet, each with the byte at which its line starts.

    Raises :class:`OSError` where that is impossible, and :class:`RunError` for values that no metric records.
    """
    import pyarrow.parquet as pq

    whole = schema().with_metadata(dict(metadata or {}))
    with pq.ParquetWriter(
        target, whole, compression="zstd", use_dictionary=list(NAMES), write_page_checksum=True
    ) as writer:
        for table in _tables(placed):
            writer.write_table(table)


def schema() -> pa.Schema:
    """Of all columns: the fields of records, the metrics by their names, and ``start``, where a record's line does."""
    import pyarrow as pa

    numbers = pa.list_(pa.float64())
    return pa.schema(
        [
            *[("index", pa.int64()), ("image", pa.string()), ("method", pa.string()), ("label", pa.string())],
            *[("rank", pa.int32()), ("image_size", pa.list_(pa.int32())), ("true_boxes", pa.list_(numbers))],
            *[("ious", numbers), ("present", pa.bool_()), ("score", pa.float64())],
            *[(name, numbers if shape else pa.float64()) for name, shape in SHAPES.items()],
            *[(name, pa.float64()) for name in ("seconds", "forwards", "seconds_here", "encoder_seconds_here")],
            *[("error", pa.string()), ("start", pa.int64())],
        ]
    )


def flat(column: pa.ChunkedArray, size: int) -> NDArray[np.float64]:
    """[rows, size] a column of lists of one length, NaN for a row without. Raises :class:`ValueError` for others."""
    lists = column.combine_chunks()
    lengths = lists.value_lengths().fill_null(size).to_numpy(zero_copy_only=False)
    if (lengths != size).any():
        raise ValueError(f"{int(lengths[lengths != size][0])} numbers in place of {size}")
    values: NDArray[np.float64] = lists.flatten().to_numpy(zero_copy_only=False).reshape(-1, size)
    if not lists.null_count:
        return values
    found = np.full((len(lists), size), np.nan)
    found[lists.is_valid().to_numpy(zero_copy_only=False)] = values
    return found


def _tables(placed: Iterable[tuple[int, Record | Failure]]) -> Iterator[pa.Table]:
    rows: list[dict[str, Any]] = []
    for start, record in placed:
        rows.append(_row(start, record))
        if len(rows) == BATCH:
            yield _table(rows)
            rows = []
    if rows:
        yield _table(rows)


def _row(start: int, record: Record | Failure) -> dict[str, Any]:
    if isinstance(record, Failure):
        return {**dict(record), "start": start}
    values = {name: record.values.get(name) for name in SHAPES}
    # Unpacked here, so that no batch of maps and texts is in memory.
    return {**values, **dict(record), "map": None, "ious": record.ious.unpack(), "start": start}


def _table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    import pyarrow as pa

    whole = schema()
    columns = []
    for field in whole:
        values = [row.get(field.name) for row in rows]
        try:
            if field.name in SHAPES:
                values = _recorded(values, SHAPES[field.name])
            columns.append(_lists(values) if field.type == pa.list_(pa.float64()) else pa.array(values, field.type))
        except (ValueError, TypeError, OverflowError, pa.ArrowException) as error:
            raise RunError(
                f"the recorded values of {field.name} cannot be read ({error}); the records were changed, or are "
                "another version's"
            ) from error
    return pa.Table.from_arrays(columns, schema=whole)


def _recorded(values: Sequence[Any], shape: tuple[int | None, ...]) -> list[Any]:
    """A metric's values as flat arrays, or as numbers if they are single. Raises :class:`ValueError` for others."""
    found: list[Any] = []
    for value in values:
        if value is None or (not shape and type(value) in (bool, int, float)):
            found.append(value if value is None else float(value))
            continue
        numbers = np.asarray(value.unpack() if isinstance(value, Packed) else value)
        fits = len(numbers.shape) == len(shape)
        if (
            numbers.dtype.kind not in "biuf"
            or not fits
            or any(length not in (None, own) for length, own in zip(shape, numbers.shape, strict=True))
        ):
            raise ValueError(f"{str(value)[:60]} has not the shape {shape}")
        found.append(numbers.astype(np.float64).ravel() if shape else float(numbers))
    return found


def _lists(values: Sequence[NDArray[np.float64] | None]) -> pa.Array:
    import pyarrow as pa

    lengths = [0 if value is None else len(value) for value in values]
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int32)
    numbers = np.concatenate([np.zeros(0), *(value for value in values if value is not None)])
    missing = np.array([value is None for value in values])
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(numbers), mask=pa.array(missing))
