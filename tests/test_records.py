"""A run on disk survives being killed anywhere, and refuses to mix configurations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from xtool.errors import RunError
from xtool.runs.records import RECORDS, RunDirectory

MANIFEST: dict[str, Any] = {"schema_version": 1, "identity": {"dataset": {"name": "a"}, "methods": [{"label": "x"}]}}


def record(i: int) -> dict[str, Any]:
    return {"index": i, "image": f"é{i}.jpg", "method": "x", "ious": [0.5, 0.25]}


def filled(path: Path, count: int = 3) -> RunDirectory:
    run = RunDirectory.create(path, MANIFEST)
    for i in range(count):
        run.append(record(i))
    run.close()
    return run


def test_records_come_back_as_they_were_written(tmp_path: Path) -> None:
    filled(tmp_path)
    assert list(RunDirectory.open(tmp_path)) == [record(0), record(1), record(2)]


def test_a_kill_at_any_byte_loses_at_most_the_torn_record(tmp_path: Path) -> None:
    filled(tmp_path)
    data = (tmp_path / RECORDS).read_bytes()
    line_ends = [i + 1 for i, byte in enumerate(data) if byte == ord("\n")]
    for cut in range(len(data) + 1):
        (tmp_path / RECORDS).write_bytes(data[:cut])
        whole = sum(end <= cut for end in line_ends)
        run = RunDirectory.resume(tmp_path, MANIFEST)
        assert list(run) == [record(i) for i in range(whole)]
        run.append(record(9))
        run.close()
        assert list(run) == [*(record(i) for i in range(whole)), record(9)]


def test_a_record_is_on_disk_as_soon_as_it_is_appended(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path, MANIFEST)
    run.append(record(0))
    assert (tmp_path / RECORDS).read_bytes().endswith(b"\n")  # read by another handle, before close
    run.close()


def test_another_configuration_is_refused_with_the_difference(tmp_path: Path) -> None:
    filled(tmp_path)
    other = {"schema_version": 1, "identity": {"dataset": {"name": "b"}, "methods": [{"label": "x"}]}}
    with pytest.raises(RunError, match=r"dataset\.name: 'a' there, 'b' now"):
        RunDirectory.resume(tmp_path, other)


def test_a_method_more_is_another_configuration(tmp_path: Path) -> None:
    filled(tmp_path)
    more = {"schema_version": 1, "identity": {"dataset": {"name": "a"}, "methods": [{"label": "x"}, {"label": "y"}]}}
    with pytest.raises(RunError, match=r"methods\[1\]\.label"):
        RunDirectory.resume(tmp_path, more)


def test_a_directory_with_a_run_is_not_overwritten(tmp_path: Path) -> None:
    filled(tmp_path)
    with pytest.raises(RunError, match="--resume"):
        RunDirectory.create(tmp_path, MANIFEST)


def test_resuming_nothing_starts_anew(tmp_path: Path) -> None:
    assert list(RunDirectory.resume(tmp_path / "new", MANIFEST)) == []


def test_no_run_and_a_broken_manifest_are_told(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="holds no run"):
        RunDirectory.open(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(RunError, match="cannot be read"):
        RunDirectory.open(tmp_path)
    (tmp_path / "manifest.json").write_text('{"schema_version": 99}')
    with pytest.raises(RunError, match="schema version 1"):
        RunDirectory.open(tmp_path)


def test_a_line_that_is_no_record_is_told_with_its_number(tmp_path: Path) -> None:
    filled(tmp_path)
    with (tmp_path / RECORDS).open("ab") as stream:
        stream.write(b"nonsense\n")
    with pytest.raises(RunError, match="line 4"):
        list(RunDirectory.open(tmp_path))


def test_sealing_writes_the_same_records_and_the_manifest_as_parquet(tmp_path: Path) -> None:
    table = pq.read_table(filled(tmp_path).seal())
    assert table.to_pylist() == [record(0), record(1), record(2)]
    assert json.loads(table.schema.metadata[b"xtool"]) == MANIFEST
