"""A run on disk survives being killed anywhere, and refuses to mix configurations."""

from __future__ import annotations

import base64
import json
import zlib
from pathlib import Path
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from xtool.errors import RunError
from xtool.runs.run import Run
from xtool.store.directory import RECORDS, RunDirectory
from xtool.store.manifest import Manifest
from xtool.store.packed import Packed, PackedMap
from xtool.store.records import Failure, Record, to_line


def manifest(**identity: Any) -> Manifest:
    whole = {
        "xtool": "1",
        "dataset": {"name": "a", "fingerprint": "f"},
        "encoder": {
            "name": "e", "weights": "w", "sha256": None, "trained": True, "input_size": [64, 64], "dtype": "float32"
        },
        "methods": [{"label": label} for label in ("x", "y", "slow", "centre")],
        "protocol": "anybox",
        "templates": [],
        "fit": "squash",
    }  # fmt: skip
    return Manifest.model_validate({"schema_version": 3, "images": 1000, "identity": {**whole, **identity}})


MANIFEST = manifest()


def record(i: int, **other: Any) -> Record:
    whole = {
        "index": i, "image": f"é{i}.jpg", "method": "x", "label": "dog", "rank": None, "image_size": [10, 20],
        "true_boxes": [[0, 0, 5, 5]], "ious": [0.5, 0.25], "present": None, "score": None,
        "map": PackedMap.pack(np.eye(2, dtype=np.float32)), "values": {"pointing": True},
        "seconds": 1.0, "forwards": 2, "seconds_here": 1.0, "encoder_seconds_here": 0.5,
    }  # fmt: skip
    return Record.model_validate({**whole, **other})


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
    with pytest.raises(RunError, match=r"dataset\.name: 'a' in the run, 'b' now"):
        RunDirectory.resume(tmp_path, manifest(dataset={"name": "b", "fingerprint": "f"}))


def test_another_version_of_what_computes_is_another_configuration(tmp_path: Path) -> None:
    RunDirectory.create(tmp_path, manifest(plugins={"xtool-a": "1.0"}, libraries={"torch": "2.4"}))
    with pytest.raises(RunError, match=r"plugins\.xtool-a: '1\.0' in the run, '1\.1' now"):
        RunDirectory.resume(tmp_path, manifest(plugins={"xtool-a": "1.1"}, libraries={"torch": "2.4"}))
    with pytest.raises(RunError, match=r"libraries\.timm: nothing in the run, '1\.0' now"):
        RunDirectory.resume(tmp_path, manifest(plugins={"xtool-a": "1.0"}, libraries={"torch": "2.4", "timm": "1.0"}))


def test_a_method_more_is_another_configuration(tmp_path: Path) -> None:
    filled(tmp_path)
    with pytest.raises(RunError, match=r"methods\[4\]\.label"):
        RunDirectory.resume(tmp_path, manifest(methods=[*MANIFEST.identity.methods, {"label": "z"}]))


def test_a_directory_with_a_run_is_not_overwritten(tmp_path: Path) -> None:
    filled(tmp_path)
    with pytest.raises(RunError, match="--resume"):
        RunDirectory.create(tmp_path, MANIFEST)


def test_resuming_nothing_starts_anew(tmp_path: Path) -> None:
    assert list(RunDirectory.resume(tmp_path / "new", MANIFEST)) == []


def test_no_run_and_a_broken_manifest_are_told(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="contains no run"):
        RunDirectory.open(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(RunError, match="cannot be read"):
        RunDirectory.open(tmp_path)
    (tmp_path / "manifest.json").write_text('{"schema_version": 99}')
    with pytest.raises(RunError, match="schema version 1 to 3"):
        RunDirectory.open(tmp_path)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b"nonsense", "Invalid JSON"),
        (b"[1, 2]", "should be an object"),
        (b'{"index": 1}', "image: Field required"),
        (
            to_line(record(4)).replace(b'"rank":null', b'"rank":"first"').strip(),
            "rank: Input should be a valid integer",
        ),
        (to_line(record(4)).replace(b'"rank"', b'"runk"').strip(), "rank: Field required"),
        (to_line(record(4)).replace(b'"rank":null', b'"rank":1,"extra":2').strip(), "extra: Extra inputs"),
    ],
)
def test_a_line_of_unknown_shape_is_told_with_its_file_and_number(tmp_path: Path, line: bytes, told: str) -> None:
    filled(tmp_path)
    with (tmp_path / RECORDS).open("ab") as stream:
        stream.write(line + b"\n")
    with pytest.raises(RunError, match=r"records\.jsonl, line 4: not a record") as error:
        list(RunDirectory.open(tmp_path))
    assert told in str(error.value)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_a_map_in_full_comes_back_bit_for_bit() -> None:
    assert np.array_equal(PackedMap.pack(noise(3, 5), "full").unpack(), noise(3, 5))


@pytest.mark.parametrize("offset", [0.0, -7.0, 1e4])
def test_a_map_of_16_bits_is_off_by_less_than_a_hundred_thousandth_of_its_span(offset: float) -> None:
    """Half a step of 65,535, and half a unit in the last place of float32, which counts far from zero."""
    whole = noise(50, 60) + np.float32(offset)
    found = PackedMap.pack(whole).unpack()
    span = float(whole.max()) - float(whole.min())
    assert np.abs(found.astype(np.float64) - whole).max() <= span / 131_070 + np.spacing(np.abs(whole).max()) / 2
    assert (found.min(), found.max()) == (whole.min(), whole.max()), "the ends are exact, so thresholds are"


@given(
    hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=2, max_dims=2),
        elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
    )
)
def test_what_was_rounded_once_stays_as_it_is(whole: np.ndarray) -> None:
    once = PackedMap.pack(whole).unpack()
    assert np.array_equal(PackedMap.pack(once).unpack(), once)


@pytest.mark.parametrize(
    "numbers", [[0.1, 1 / 3, 1.0], [[0, 255], [256, 7]], [[0, 2**40]], [-1, 3], [True, False], [1e-300, -1e300]]
)
def test_packed_numbers_keep_every_digit_and_their_shape(numbers: Any) -> None:
    packed = Packed.pack(numbers)
    assert packed.unpack().tolist() == numbers
    assert Packed.model_validate_json(packed.model_dump_json()) == packed


@pytest.mark.parametrize(
    "changed",
    [
        {"shape": [4]},
        {"shape": [10**18, 10**18]},
        {"shape": [10**400]},
        {"data": "no base64"},
        {"data": "AAAA"},
        {"data": ""},
    ],
)
def test_damaged_numbers_are_told(changed: dict[str, Any]) -> None:
    whole = Packed.pack([0.5, 0.25]).model_dump()
    with pytest.raises(ValidationError):
        Packed.model_validate({**whole, **changed})


def test_numbers_that_would_unpack_into_all_memory_are_refused_for_what_they_claim() -> None:
    """A thousand bytes of zlib that hold a megabyte of zeros, and say that they are two numbers."""
    bomb = base64.b64encode(zlib.compress(bytes(1 << 20))).decode()
    with pytest.raises(ValidationError, match="not those of the shape"):
        Packed(type="float64", shape=(2,), data=bomb)


def test_overlaps_and_scores_keep_every_digit(tmp_path: Path) -> None:
    exact = record(0, ious=[0.50000396, 1 / 3], score=-1 / 7)
    run = RunDirectory.create(tmp_path, MANIFEST)
    run.append(exact)
    run.close()
    assert list(run) == [exact]


def test_a_record_is_read_again_from_where_its_line_starts(tmp_path: Path) -> None:
    run = filled(tmp_path)
    for start, found in run.placed():
        assert run.at(start) == found


def test_sealing_writes_the_same_records_and_the_manifest_as_parquet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunDirectory.create(tmp_path, MANIFEST)
    # The rank appears only after more records than are in memory at once.
    monkeypatch.setattr("xtool.store.numbers.BATCH", 256)
    for i in range(600):
        later = {"rank": i, "values": {"pointing": True, "presence": [True, False]}} if i > 500 else {}
        run.append(record(i, **later))
    run.append(Failure(index=600, image="torn.jpg", error="truncated"))
    table = pq.read_table(run.seal())
    rows = table.to_pylist()
    assert [row["index"] for row in rows] == list(range(601))
    assert (rows[0]["rank"], rows[599]["rank"], rows[600]["error"]) == (None, 599, "truncated")
    assert (rows[0]["ious"], rows[0]["pointing"]) == ([0.5, 0.25], 1.0)
    assert (rows[0]["presence"], rows[599]["presence"]) == (None, [1.0, 0.0])
    assert json.loads(table.schema.metadata[b"xtool"]) == MANIFEST.model_dump(mode="json")


def float32_map(values: np.ndarray) -> dict[str, Any]:
    """As versions 1 and 2 wrote it."""
    return {"shape": values.shape, "data": base64.b64encode(values.astype("<f4").tobytes()).decode()}


def test_a_run_of_the_second_version_is_read_and_not_resumed(tmp_path: Path) -> None:
    second = manifest().model_copy(update={"schema_version": 2})
    RunDirectory.create(tmp_path, second).close()
    old = {**record(0).model_dump(), "ious": [0.5] * 100, "map": float32_map(noise(2, 3))}
    old["values"] = {"swapped": [0.25] * 100, "presence": [True, False]}
    (tmp_path / RECORDS).write_text(json.dumps(old) + "\n", "utf-8")
    (found,) = RunDirectory.open(tmp_path)
    assert isinstance(found, Record)
    assert found.ious.unpack().tolist() == [0.5] * 100
    assert found.map is not None
    assert np.array_equal(found.map.unpack(), noise(2, 3)), "in all its bits"
    assert found.values["swapped"].unpack().tolist() == [0.25] * 100
    assert Run.open(tmp_path).rows()[0].values["box_iou"] == 0.5
    with pytest.raises(RunError, match="earlier xtool"):
        RunDirectory.resume(tmp_path, manifest())


def test_a_run_of_the_first_version_is_read_and_not_resumed(tmp_path: Path) -> None:
    old = {**record(0).model_dump(), "ious": [0.5, 0.25], "map": float32_map(np.eye(2))}
    del old["values"]
    told = {
        "present": True, "score": 0.5, "absent_present": False, "absent_score": 0.1, "distractor_present": True,
        "distractor_score": 0.4, "pointing": False, "swapped_ious": [0.1, 0.2], "insertion": 0.75,
    }  # fmt: skip
    blind = {"present": True, "score": None, "absent_present": True, "absent_score": None, "pointing": True}
    first = manifest(protocol="vlscore").model_copy(update={"schema_version": 1})
    RunDirectory.create(tmp_path, first)
    lines = [json.dumps({**old, **told}), json.dumps({**old, **blind, "index": 1})]
    (tmp_path / RECORDS).write_text("\n".join(lines) + "\n", "utf-8")
    run = RunDirectory.open(tmp_path)
    assert run.manifest.identity.protocol == "anybox"
    seeing, unseeing = run
    assert isinstance(seeing, Record)
    assert seeing.values == {
        "pointing": False, "insertion": 0.75, "swapped": [0.1, 0.2], "presence": [True, False],
        "presence_auroc": [0.5, 0.1],
    }  # fmt: skip
    assert isinstance(unseeing, Record)
    assert (unseeing.present, unseeing.values) == (None, {"pointing": True})
    with pytest.raises(RunError, match="earlier xtool"):
        RunDirectory.resume(tmp_path, manifest())
