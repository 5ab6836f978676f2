"""A seal is believed only as long as it is that of the records beside it; with and without it numbers are the same."""

from __future__ import annotations

import json
import os
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.test_records import MANIFEST, manifest, record
from xtool.errors import RunError
from xtool.runs.run import Run
from xtool.store.directory import RECORDS, RunDirectory
from xtool.store.numbers import Numbers
from xtool.store.records import Failure, to_line
from xtool.store.sealed import SEALED


def wide(index: int, method: str = "x", **other: Any) -> Any:
    overlaps = np.random.default_rng((index, len(method))).random(100)
    values = {"pointing": index % 3 == 0, "swapped": (overlaps[::-1] / 2).tolist(), "presence_auroc": [0.5, index / 99]}
    return record(index, method=method, ious=overlaps, **{"values": values, **other})


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    run = RunDirectory.create(tmp_path / "run", MANIFEST)
    for index in range(30):
        for method in ("x", "slow"):
            run.append(wide(index, method))
    run.append(Failure(index=30, image="torn.jpg", error="truncated"))
    run.append(Failure(index=2, image="é2.jpg", error="it fell", method="y"))
    run.seal()
    run.close()
    return tmp_path / "run"


def numbers_of(run: Path) -> str:
    opened = Run.open(run)
    told = {**opened.as_json(), "failures": [each.model_dump() for each in opened.failures()], "run": ""}
    return json.dumps(told)


def lines_read(run: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many lines a report parses."""
    read = []
    whole = RunDirectory._parsed

    def counted(self: RunDirectory, line: bytes, where: str) -> Any:
        read.append(where)
        return whole(self, line, where)

    with monkeypatch.context() as patched:
        patched.setattr(RunDirectory, "_parsed", counted)
        Run.open(run).rows()
        RunDirectory.open(run).done()
    return len(read)


def test_a_sealed_run_is_summed_up_without_reading_a_line_and_says_the_same(
    sealed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = numbers_of(sealed)
    assert lines_read(sealed, monkeypatch) == 0
    (sealed / SEALED).unlink()
    assert lines_read(sealed, monkeypatch) == 2 * 62
    assert numbers_of(sealed) == expected


def test_a_copy_keeps_its_seal_though_its_date_is_another(
    sealed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(sealed, tmp_path / "copy", copy_function=shutil.copyfile)
    os.utime(tmp_path / "copy" / RECORDS, (0, 0))
    assert lines_read(tmp_path / "copy", monkeypatch) == 0


def changed_in_place(run: Path) -> None:
    data = (run / RECORDS).read_bytes()
    (run / RECORDS).write_bytes(data.replace(b'"label":"dog"', b'"label":"cat"', 1))


def grown(run: Path) -> None:
    with (run / RECORDS).open("ab") as stream:
        stream.write(to_line(wide(40)))


def of_another_run(run: Path) -> None:
    other = RunDirectory.create(run.parent / "other", manifest(fit="crop"))
    for index in range(30):
        other.append(wide(index + 1))
    other.seal()
    other.close()
    shutil.copy(run.parent / "other" / SEALED, run / SEALED)


def cut(run: Path) -> None:
    data = (run / SEALED).read_bytes()
    (run / SEALED).write_bytes(data[: len(data) // 2])


def of_an_earlier_version(run: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"index": [1], "method": ["x"]}), run / SEALED)


@pytest.mark.parametrize("change", [changed_in_place, grown, of_another_run, cut, of_an_earlier_version])
def test_a_stale_foreign_or_damaged_seal_is_not_believed(
    sealed: Path, change: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    change(sealed)
    assert lines_read(sealed, monkeypatch) >= 62
    told = numbers_of(sealed)
    (sealed / SEALED).unlink()
    assert numbers_of(sealed) == told


def test_a_flipped_bit_within_a_seal_is_told(sealed: Path) -> None:
    data = bytearray((sealed / SEALED).read_bytes())
    data[len(data) // 3] ^= 1
    (sealed / SEALED).write_bytes(data)
    with pytest.raises(RunError, match=r"records\.parquet is damaged .* remove it, and --resume writes it again"):
        Run.open(sealed).rows()


def test_a_complete_run_is_resumed_without_being_sealed_again(sealed: Path) -> None:
    before = (sealed / SEALED).stat()
    dated = (sealed / RECORDS).stat().st_mtime_ns
    run = RunDirectory.resume(sealed, MANIFEST)
    assert (sealed / RECORDS).stat().st_mtime_ns == dated, "or the file would be read through"
    done = run.done()
    assert len(done) == 60
    assert (done.missing(2), done.missing(30)) == (["y", "centre"], ["x", "y", "slow", "centre"])
    run.seal()
    assert (sealed / SEALED).stat().st_ino == before.st_ino
    run.append(wide(31))
    assert (31, "x") in run.done(), "what came later counts, too"
    run.seal()
    run.close()
    assert (sealed / SEALED).stat().st_ino != before.st_ino


def test_what_is_there_is_known_by_image_and_method_also_in_a_shard(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path, manifest(shard=(2, 3)).model_copy(update={"images": 3}))
    for index, method in ((7, "y"), (1, "slow")):
        run.append(record(index, method=method))
    run.append(Failure(index=4, image="a.jpg", error="torn"))
    run.close()
    done = run.done()
    assert [answer in done for answer in ((7, "y"), (7, "x"), (1, "slow"), (4, "y"))] == [True, False, True, False]


def test_of_twenty_thousand_records_few_bytes_each_stay() -> None:
    """Some 90 bytes of each record, 8 for each number of a metric (four of them here), and an image's name once."""
    count, labels = 20_000, ["x", "y", "slow", "centre"]
    one = wide(0)

    def records() -> Any:
        for index in range(count // len(labels)):
            for label in labels:
                yield index, one.model_copy(update={"index": index, "method": label, "image": f"{index}.jpg"})

    with Numbers.of(records()) as numbers:
        from xtool.metrics.protocols import ANYBOX
        from xtool.runs.summary import summarise

        tracemalloc.start()
        try:
            summary = summarise([numbers], ANYBOX)
            kept, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert summary.images == count // len(labels)
    assert kept < 160 * count
    assert peak < 4e6 + 2 * 160 * count, "a batch of records beside it: their IoUs alone would be 16 MB"
