"""Two writers, a full disk, half a line, somebody else's records: a run's directory stays one run."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import textwrap
import time
import tracemalloc
from collections.abc import Callable
from contextlib import ExitStack
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.test_records import MANIFEST, filled, manifest, record
from xtool.errors import RunError
from xtool.metrics.protocols import ANYBOX
from xtool.runs.run import Run
from xtool.runs.summary import summarise
from xtool.store import writing
from xtool.store.directory import RECORDS, RunDirectory
from xtool.store.numbers import Numbers
from xtool.store.records import Record, to_line

PROGRAM = """
import sys, time
from pathlib import Path
from xtool.errors import RunError
from xtool.store.directory import RunDirectory
from xtool.store.manifest import Manifest
from xtool.store.records import Record
path, manifest = Path(sys.argv[1]), Manifest.model_validate_json(sys.argv[2])
"""


def start(path: Path, body: str, **options: Any) -> subprocess.Popen[str]:
    """A process of its own, which tells by a line when it has come to its ``print``."""
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM + textwrap.dedent(body), str(path), MANIFEST.model_dump_json()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        **options,
    )


HOLD = """
run = RunDirectory.create(path, manifest)
print("writing", flush=True)
time.sleep(60)
"""


def test_a_second_writer_is_refused_until_the_first_is_dead(tmp_path: Path) -> None:
    with start(tmp_path, HOLD) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "writing\n"
        for again in (RunDirectory.create, RunDirectory.resume):
            with pytest.raises(RunError, match=rf"is being written by process {other.pid} on .* \(\d+ seconds\)"):
                again(tmp_path, MANIFEST)
        assert list(RunDirectory.open(tmp_path)) == [], "reading is allowed"
        other.send_signal(signal.SIGKILL)
    assert (tmp_path / writing.WRITER).exists(), "it had no chance to tidy up"
    run = RunDirectory.resume(tmp_path, MANIFEST)
    run.append(record(0))
    run.close()
    assert not (tmp_path / writing.WRITER).exists()


def test_closing_lets_the_next_one_write(tmp_path: Path) -> None:
    filled(tmp_path)
    first = RunDirectory.resume(tmp_path, MANIFEST)
    with pytest.raises(RunError, match=f"process {os.getpid()} on"):
        RunDirectory.resume(tmp_path, MANIFEST)
    first.close()
    RunDirectory.resume(tmp_path, MANIFEST).close()


def test_a_refused_resume_leaves_the_directory_free(tmp_path: Path) -> None:
    filled(tmp_path)
    with pytest.raises(RunError, match="made differently"):
        RunDirectory.resume(tmp_path, manifest(fit="crop"))
    RunDirectory.resume(tmp_path, MANIFEST).close()


RACES = """
import os
for race in range(20):
    ready, go = os.pipe()
    racers = []
    for _ in range(6):
        racer = os.fork()
        if not racer:
            os.close(go)
            os.read(ready, 1)  # until the gate is closed
            try:
                RunDirectory.create(path / str(race), manifest)
            except RunError:
                os._exit(1)
            os._exit(0)
        racers.append(racer)
    os.close(ready)
    os.close(go)
    print(sum(os.waitstatus_to_exitcode(os.waitpid(racer, 0)[1]) == 0 for racer in racers), flush=True)
"""


def test_of_writers_that_start_at_once_one_succeeds(tmp_path: Path) -> None:
    with start(tmp_path, RACES) as races:
        assert races.communicate()[0].split() == ["1"] * 20


class NoLocks:
    def __init__(self, *_: Any, **__: Any) -> None: ...

    def acquire(self, timeout: float) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    def release(self) -> None: ...


def test_without_locks_there_is_a_warning_and_still_one_creator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "FileLock", NoLocks)
    with pytest.warns(RuntimeWarning, match="file system without locks"):
        first = RunDirectory.create(tmp_path, MANIFEST)
    first.append(record(0))
    monkeypatch.setattr(Path, "exists", lambda self: False)  # both looked before either wrote
    with pytest.warns(RuntimeWarning, match="without locks"), pytest.raises(RunError, match="File exists"):
        RunDirectory.create(tmp_path, MANIFEST)
    first.close()


def wide(i: int, method: str = "x") -> Record:
    return record(i, method=method, ious=[0.5] * 100)


def test_of_doubled_records_the_first_counts(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path, MANIFEST)
    for i in (0, 1, 0, 2, 1, 0):
        run.append(wide(i))
        run.append(wide(i, "y"))
    run.append(record(2, ious=[0.9] * 100))
    run.close()
    assert [(each.index, each.method) for each in run] == [(i, m) for i in range(3) for m in "xy"]
    read = Run.open(tmp_path)
    assert [row.images for row in read.rows()] == [3, 3]
    assert read.rows()[0].values["gt_known"] == 0.0
    assert len(json.loads(json.dumps(read.as_json()))["rows"]) == 2
    import pyarrow.parquet as pq

    assert pq.read_table(run.seal()).num_rows == 6


def test_reading_many_records_once_each_takes_a_byte_for_each(tmp_path: Path) -> None:
    """Sets of the indices would take some 60 bytes for each: 12 methods × 50,000 images are 600,000."""
    labels = [f"m{i}" for i in range(12)]
    path = tmp_path / "run"
    RunDirectory.create(path, manifest(methods=[{"label": label} for label in labels])).close()
    made = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps({**made, "images": 50_000}))
    lines = [to_line(record(49_999 - i, method=label)) for i in range(50) for label in labels]
    (path / RECORDS).write_bytes(b"".join(lines * 2))
    tracemalloc.start()
    try:
        assert sum(1 for _ in RunDirectory.open(path)) == 600
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1.5e6


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"method": "elsewhere"}, "'elsewhere' is not in this run, which has x, y"),
        ({"index": 1000}, "1000 is no sample of this run of 1000"),
    ],
)
def test_a_record_of_another_run_is_refused(tmp_path: Path, changed: dict[str, Any], told: str) -> None:
    filled(tmp_path)
    with (tmp_path / RECORDS).open("ab") as stream:
        stream.write(
            to_line(record(3, **{k: v for k, v in changed.items() if k != "index"}).model_copy(update=changed))
        )
    with pytest.raises(RunError, match="line 4: not a record") as error:
        list(RunDirectory.open(tmp_path))
    assert told in str(error.value)


def test_a_shard_has_every_nth_sample(tmp_path: Path) -> None:
    """Shard 2 of 3 of ten samples: 1, 4 and 7."""
    three = manifest(shard=(2, 3)).model_copy(update={"images": 3})
    run = RunDirectory.create(tmp_path, three)
    for index in (7, 1, 4):
        run.append(record(index))
    assert [each.index for each in run] == [7, 1, 4]
    for index in (0, 2, 10):
        with pytest.raises(RunError, match=rf"index: {index} is no sample"):
            run._parsed(to_line(record(index)), "line")
    run.close()


@pytest.mark.parametrize("name", [RECORDS, "records.parquet"])
@pytest.mark.parametrize("start", [RunDirectory.create, RunDirectory.resume])
def test_records_without_a_manifest_are_nobodys(tmp_path: Path, name: str, start: Callable[..., RunDirectory]) -> None:
    (tmp_path / name).write_bytes(to_line(record(0)))
    with pytest.raises(RunError, match=rf"contains {name} without a manifest\.json"):
        start(tmp_path, MANIFEST)
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == [name]
    assert (tmp_path / name).read_bytes() == to_line(record(0))


class ShortWrites(FileIO):
    """Writes at most 100 bytes at a time; after ``room`` bytes the disk is full."""

    room = 10**9

    def write(self, data: Any) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        count = super().write(data[: min(100, self.room)])
        type(self).room -= count
        return count


def test_a_short_write_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xtool.store.directory.FileIO", ShortWrites)
    filled(tmp_path)
    assert (tmp_path / RECORDS).read_bytes() == b"".join(to_line(record(i)) for i in range(3))


def test_a_full_disk_is_told_and_leaves_whole_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = filled(tmp_path, 2)
    whole = (tmp_path / RECORDS).read_bytes()
    run = RunDirectory.resume(tmp_path, MANIFEST)
    monkeypatch.setattr("xtool.store.directory.FileIO", ShortWrites)
    monkeypatch.setattr(ShortWrites, "room", 250)
    for _ in range(2):
        with pytest.raises(RunError, match=r"records\.jsonl cannot be written: No space left on device.*--resume"):
            run.append(record(2))
        assert (tmp_path / RECORDS).read_bytes() == whole
    monkeypatch.setattr(ShortWrites, "room", 10**9)
    run.append(record(2))
    run.close()
    assert list(run) == [record(i) for i in range(3)]


def test_a_limit_on_file_size_is_told_and_what_is_done_is_kept(tmp_path: Path) -> None:
    """A real short write: the kernel writes up to the limit, and refuses the rest."""
    body = """
    run = RunDirectory.create(path, manifest)
    from tests.test_records import record
    try:
        for i in range(100):
            run.append(record(i))
    except RunError as error:
        print(error)
    """
    limit = len(to_line(record(0))) * 5 // 2
    size = max(limit, 4096)

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    with start(tmp_path, body, preexec_fn=limited, cwd=Path(__file__).parents[1]) as done:
        told, _ = done.communicate()
    assert "cannot be written: File too large" in told
    found = list(RunDirectory.open(tmp_path))
    assert found == [record(i) for i in range(len(found))]
    assert found
    assert (tmp_path / RECORDS).read_bytes().endswith(b"\n")
    assert size - (tmp_path / RECORDS).stat().st_size < len(to_line(record(99)))


def test_sealing_on_a_full_disk_is_told_and_leaves_nothing_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyarrow.parquet as pq

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    run = filled(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(pq.ParquetWriter, "write_table", full)
        with pytest.raises(RunError, match=r"records\.parquet cannot be written: No space left.*--resume"):
            run.seal()
    assert {path.name for path in tmp_path.iterdir()} == {"manifest.json", RECORDS, writing.LOCK}
    run.seal()


def test_values_that_no_metric_writes_are_told_with_the_metric() -> None:
    changed = record(0, ious=[0.5] * 100, values={"pointing": [[1], [0]]})
    with pytest.raises(RunError, match="the recorded values of pointing cannot be read"):
        Numbers.of([(0, changed)])
    with (
        ExitStack() as opened,
        pytest.raises(RunError, match=r"x on é0\.jpg: the record has 2 IoUs, and anybox has 100 thresholds"),
    ):
        summarise([opened.enter_context(Numbers.of([(0, record(0))]))], ANYBOX)


@pytest.mark.parametrize(
    "line",
    [
        b"[" * 100_000,
        to_line(record(3)).replace(b'"score":null', b'"score":NaN').strip(),
        to_line(record(3)).replace(b'"seconds":1.0', b'"seconds":Infinity').strip(),
        to_line(record(3)).replace(b'"shape":[2,2]', b'"shape":[2,3]').strip(),
        to_line(record(3)).replace(b'"shape":[2,2]', b'"shape":[-1,4]').strip(),
        to_line(record(3)).replace(b'"image_size":[10,20]', b'"image_size":[0,20]').strip(),
    ],
    ids=["deep", "nan", "infinite", "map of another size", "negative size", "empty image"],
)
def test_a_line_of_impossible_numbers_is_no_record(tmp_path: Path, line: bytes) -> None:
    filled(tmp_path)
    with (tmp_path / RECORDS).open("ab") as stream:
        stream.write(line + b"\n")
    with pytest.raises(RunError, match="line 4: not a record"):
        list(RunDirectory.open(tmp_path))


def test_a_number_that_json_has_not_is_not_written() -> None:
    with pytest.raises(ValueError, match="nan is no number that JSON has"):
        record(0, values={"energy": float("nan")})
    with pytest.raises(ValueError, match="not finite"):
        record(0, values={"swapped": [float("inf")] * 100})


def test_a_map_that_is_not_finite_is_no_map() -> None:
    from xtool.store.packed import PackedMap

    with pytest.raises(ValueError, match="not finite"):
        PackedMap.pack(np.array([[0, np.nan]], np.float32))


def test_a_writer_is_told_with_its_age(tmp_path: Path) -> None:
    filled(tmp_path)
    run = RunDirectory.resume(tmp_path, MANIFEST)
    since = {"pid": 7, "host": "there", "since": time.time() - 3 * 3600}
    (tmp_path / writing.WRITER).write_text(json.dumps(since))
    with pytest.raises(RunError, match=r"process 7 on there since .* \(3 hours\)"):
        RunDirectory.resume(tmp_path, MANIFEST)
    (tmp_path / writing.WRITER).write_text("{")
    with pytest.raises(RunError, match="written by another process"):
        RunDirectory.resume(tmp_path, MANIFEST)
    run.close()
