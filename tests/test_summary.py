"""A run is read once, keeps no maps, and says the same to everyone who asks."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from tests.test_records import manifest, record
from xtool.errors import UsageError
from xtool.metrics.protocols import ANYBOX
from xtool.metrics.registry import METRICS
from xtool.runs.run import Run
from xtool.runs.summary import Summary, Threshold, summarise
from xtool.runs.table import ComparisonTable
from xtool.store.directory import RunDirectory
from xtool.store.numbers import Numbers
from xtool.store.packed import PackedMap
from xtool.store.records import Failure, Record


def ious(at: dict[int, float]) -> list[float]:
    """IoUs at each of the protocol's hundred thresholds."""
    return [at.get(index, 0.0) for index in range(100)]


def summed_up(records: Iterable[Record | Failure], threshold: Threshold = None) -> Summary:
    with Numbers.of(enumerate(records)) as numbers:
        return summarise([numbers], ANYBOX, threshold)


def test_each_number_is_that_of_its_records() -> None:
    """By hand: at 0.2 both images are found, ranks 1 and 3, one of two peaks on the object, 1 s and 3 s."""
    records: list[Record | Failure] = [
        record(0, ious=ious({20: 0.6}), rank=1, seconds=1.0, forwards=4, values={"pointing": True, "insertion": 0.5}),
        record(1, ious=ious({20: 0.8, 30: 0.9}), rank=3, seconds=3.0, forwards=6, values={"pointing": False}),
    ]
    (result,) = summed_up(records).methods
    row = result.row
    assert (row.method, row.images, row.threshold) == ("x", 2, 0.2)
    expected = {
        "box_iou": pytest.approx(0.7), "gt_known": 1.0, "top1": 0.5, "top5": 1.0, "pointing": 0.5, "presence": None,
        "presence_auroc": None, "swapped": None, "pxap": None, "insertion": 0.5, "deletion": None,
        "seconds_per_image": 2.0, "forwards_per_image": 5.0,
    }  # fmt: skip
    assert {name: row.values[name] for name in expected} == expected
    assert list(row.values) == [metric.info.name for metric in METRICS]
    assert (row.curve[20], row.curve[30], row.iou_curve[30]) == (1.0, 0.5, 0.45)


def test_presence_and_swapped_by_hand() -> None:
    records: list[Record | Failure] = [
        record(0, ious=ious({50: 0.9}), values={"presence": [True, False], "presence_auroc": [0.9, 0.1]}),
        record(1, ious=ious({50: 0.9}), values={"presence": [False, False], "presence_auroc": [0.2, 0.3]}),
        record(2, ious=ious({50: 0.9}), values={"swapped": ious({50: 0.7})}),
        record(3, ious=ious({50: 0.9}), values={"swapped": ious({10: 1.0})}),
    ]
    values = summed_up(records).methods[0].row.values
    assert values["presence"] == pytest.approx((0.5 + 1.0) / 2)
    assert values["presence_auroc"] == 0.75
    assert values["swapped"] == 0.5, "at the threshold chosen for the label, 0.5"
    assert values["top1"] is None


def test_an_overlap_that_five_digits_would_round_to_a_half_is_found() -> None:
    (result,) = summed_up([record(0, ious=ious({50: 0.50000396}))]).methods
    assert result.row.values["gt_known"] == 1.0
    assert result.images[0].found


def test_an_image_differs_from_the_mean_of_the_other_methods() -> None:
    overlaps = {"x": 0.9, "y": 0.3, "z": 0.5}
    records: list[Record | Failure] = [
        record(0, method=method, ious=ious({40: overlap})) for method, overlap in overlaps.items()
    ]
    found = {each.method: each.images[0].difference for each in summed_up(records, 0.4).methods}
    assert found == {"x": pytest.approx(0.5), "y": pytest.approx(-0.4), "z": pytest.approx(-0.1)}
    (alone,) = summed_up(records[:1]).methods
    assert alone.images[0].difference == 0


def test_a_failure_that_a_later_attempt_mended_is_none() -> None:
    broken = Failure(index=0, image="a.jpg", error="truncated")
    still = Failure(index=5, image="b.jpg", error="truncated")
    summary = summed_up([broken, still, record(0, ious=ious({}))])
    assert (summary.failures, summary.images) == ((still,), 1)


def test_a_method_without_a_chosen_threshold_is_told() -> None:
    with pytest.raises(UsageError, match="no threshold was chosen for x"):
        summed_up([record(0, ious=ious({}))], {"y": 0.5})


def test_maps_do_not_stay_in_memory() -> None:
    noise = np.random.default_rng(0).random((200, 200), np.float32)  # 107 kB each, as text

    def records() -> Iterator[Record | Failure]:
        for i in range(300):
            yield record(i, ious=ious({}), map=PackedMap.pack(noise))

    tracemalloc.start()
    try:
        summed_up(records())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 5e6, "300 maps would be 32 MB"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    directory = RunDirectory.create(tmp_path / "run", manifest())
    for i in range(3):
        directory.append(record(i, method="x", ious=ious({50: 0.9}), seconds=0.2, forwards=9))
        directory.append(record(i, method="slow", ious=ious({50: 0.2}), seconds=2.0, forwards=90))
        directory.append(record(i, method="centre", ious=ious({50: 0.1}), seconds=0.0001, forwards=0))
    directory.close()
    return Run.open(tmp_path / "run")


def test_a_run_is_read_once_whoever_asks(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    readings = []
    whole = RunDirectory.placed

    def counted(self: RunDirectory) -> Any:
        readings.append(self.path)
        return whole(self)

    monkeypatch.setattr(RunDirectory, "placed", counted)
    run.rows()
    run.failures()
    run.images()
    run.as_json()
    text(run, 120)
    assert len(readings) == 1
    assert [each.index for each in run.records()] == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_a_result_leads_back_to_its_record(run: Run) -> None:
    for result in run.results:
        for image in result.images:
            found = run.record(image)
            assert (found.method, found.index, found.image) == (result.method, image.index, image.image)


def text(run: Run, width: int) -> str:
    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(run.table())
    return console.export_text()


def test_headings_are_whole_words_where_there_is_room_and_never_overflow(run: Run) -> None:
    narrow, wide = text(run, 50), text(run, 120)
    assert "threshold" in wide
    assert "seconds" in wide
    assert "forwards" in wide
    assert "thres-" in narrow
    for shown, width in ((narrow, 50), (wide, 120)):
        lines = shown.splitlines()
        assert max(map(len, lines)) <= width
        # Nothing is cut short: each method's numbers are all there.
        rows = [line.split() for line in lines if line.strip().startswith(("x ", "slow ", "centre "))]
        assert [len(row) for row in rows] == [7, 7, 7]


def test_runs_are_told_apart_by_what_differs_or_stand_apart(run: Run) -> None:
    other = manifest(encoder={**manifest().identity.encoder.model_dump(), "name": "another"}).identity
    table = ComparisonTable([(run.identity, run.summary), (other, run.summary)])
    texts = {}
    for width in (60, 120):
        console = Console(width=width, file=io.StringIO(), record=True)
        console.print(table)
        texts[width] = console.export_text()
        assert max(map(len, texts[width].splitlines())) <= width
        assert "…" not in texts[width]
    assert "Comparison of runs: a, anybox" in texts[120]
    assert len([line for line in texts[120].splitlines() if line.strip().startswith("another (w)")]) == 3
    assert "e (w) on a, 3 images" in texts[60]
    assert "another (w) on a, 3 images" in texts[60]
    assert texts[60].count("* best") == 1


def test_what_costs_nothing_is_not_the_best(run: Run) -> None:
    marked = {line.split()[0]: line for line in text(run, 120).splitlines() if line.strip()}
    assert "0.200*" in marked["x"]
    assert "9*" in marked["x"]
    assert marked["centre"].split()[-2:] == ["0.000", "0"]
