"""How sure a number is, and whether two methods differ: against scipy, by hand, and by coverage."""

from __future__ import annotations

import io
import json
import time
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import ArrayLike
from rich.console import Console
from scipy import stats

from tests.test_records import manifest, record
from xtool.metrics.presence import balanced_accuracy
from xtool.metrics.protocols import ANYBOX, get_protocol
from xtool.metrics.registry import METRICS
from xtool.runs import resampling
from xtool.runs.cells import cells
from xtool.runs.differences import Difference, compared, differences, mcnemar
from xtool.runs.resampling import RESAMPLES, Resampled, weightings
from xtool.runs.run import Run
from xtool.runs.summary import Summary, summarise
from xtool.store.directory import RunDirectory
from xtool.store.numbers import Numbers
from xtool.store.records import Record

AT = 0.5
"""The threshold of every row here."""


def records(method: str, overlaps: ArrayLike, names: Sequence[str] = (), **other: Any) -> list[Record]:
    """One for each best IoU, whatever the threshold; ``other`` are sequences with an entry for each."""
    made = []
    for i, overlap in enumerate(np.asarray(overlaps, float).tolist()):
        own = {key: value[i] for key, value in other.items()}
        image = names[i] if names else f"{i}.jpg"
        made.append(record(i, method=method, image=image, ious=[overlap] * 100, **own))
    return made


def summed_up(*methods: list[Record]) -> Summary:
    whole = [each for method in methods for each in method]
    with Numbers.of(enumerate(whole)) as numbers:
        return summarise([numbers], ANYBOX, AT)


def rows(*methods: list[Record]) -> Resampled:
    return Resampled(summed_up(*methods).methods)


def difference(of: Resampled, name: str, row: int, other: int) -> Difference | None:
    return differences(of, name, [(row, other)]).get((row, other))


def drawn(seed: int, images: int = 60) -> np.ndarray:
    """Best IoUs as data sets have them: some missed, most near a half."""
    return np.random.default_rng(seed).beta(2, 2, images).round(6)


def test_an_interval_is_that_of_scipys_bootstrap() -> None:
    overlaps = drawn(1)
    found = rows(records("x", overlaps)).intervals(0)
    one_image = 1.01 / len(overlaps)
    for name, values, near in (("box_iou", overlaps, 0.004), ("gt_known", overlaps > 0.5, one_image)):
        asked = stats.bootstrap((values,), np.mean, n_resamples=20_000, method="percentile", rng=2)
        assert found[name] == pytest.approx(tuple(asked.confidence_interval), abs=near)


def test_a_difference_is_that_of_scipys_paired_bootstrap() -> None:
    one, other = drawn(3), np.clip(drawn(3) - 0.1 + 0.2 * drawn(4), 0, 1)
    found = difference(rows(records("x", one), records("y", other)), "box_iou", 0, 1)
    assert found is not None
    asked = stats.bootstrap(
        (one, other), lambda a, b, axis: (a - b).mean(axis), paired=True, n_resamples=20_000, method="percentile", rng=5
    )
    assert (found.low, found.high) == pytest.approx(tuple(asked.confidence_interval), abs=0.005)
    assert found.value == pytest.approx((one - other).mean())
    assert (found.images, found.p) == (60, None)


def test_intervals_of_95_percent_hold_the_truth_in_about_95_of_100_data_sets() -> None:
    """Box IoU drawn from a distribution of mean 0.5; GT-known then is right in half of the images."""
    holds = []
    for seed in range(200):
        found = rows(records("x", drawn(1000 + seed, 80))).intervals(0)
        holds.append([low <= 0.5 <= high for low, high in (found["box_iou"], found["gt_known"])])
    assert np.mean(holds, axis=0) == pytest.approx(0.945, abs=0.045)


def test_an_auroc_is_the_mean_of_its_images_and_its_interval_that_of_scipys_bootstrap() -> None:
    """The image-wise values stand for the U statistic of pairs of scores, to which scipy's bootstrap is given whole."""
    generator = np.random.default_rng(6)
    scores = np.stack((generator.normal(1.5, 1, 60), generator.normal(0, 1, 60)), axis=1).round(1)
    found = rows(records("x", [0.9] * 60, values=[{"presence_auroc": pair} for pair in scores.tolist()]))

    def auroc(high: np.ndarray, low: np.ndarray) -> float:
        return float(stats.mannwhitneyu(high, low).statistic / len(high) / len(low))

    assert found.values["presence_auroc", 0].mean() == pytest.approx(auroc(*scores.T))
    asked = stats.bootstrap(
        tuple(scores.T), auroc, paired=True, vectorized=False, n_resamples=2000, method="percentile", rng=7
    )
    assert found.intervals(0)["presence_auroc"] == pytest.approx(tuple(asked.confidence_interval), abs=0.01)


def test_an_interval_of_fractions_ends_at_one() -> None:
    """One slip among twenty: the straightened AUROC of a resample without it would be above 1."""
    pairs = [[0.9, 0.1]] * 19 + [[0.5, 0.6]]
    found = rows(records("x", [0.9] * 20, values=[{"presence_auroc": pair} for pair in pairs]))
    assert found.numbers["presence_auroc", 0].max() > 1
    assert found.intervals(0)["presence_auroc"][1] == 1


def test_a_balanced_accuracy_is_the_mean_of_its_images() -> None:
    """Three of four true texts are present, one of four absent ones is: (3/4 + 3/4) / 2."""
    verdicts = [[True, False], [True, True], [False, False], [True, False]]
    (result,) = summed_up(records("x", [0.9] * 4, values=[{"presence": pair} for pair in verdicts])).methods
    (metric,) = (each for each in METRICS if each.info.name == "presence")
    values = metric.per_image(result.results)
    assert values is not None
    assert values.tolist() == [1, 0.5, 0.5, 1]
    assert values.mean() == 0.75 == balanced_accuracy(*zip(*verdicts, strict=True))


def test_mcnemar_by_hand() -> None:
    """Five against one: twice the chance of at most one head in six, 2 · (1 + 6) / 64."""
    assert mcnemar(5, 1) == mcnemar(1, 5) == pytest.approx(14 / 64)
    assert mcnemar(6, 0) == pytest.approx(2 / 64)
    assert mcnemar(0, 0) == mcnemar(3, 3) == 1


@pytest.mark.parametrize(("one", "other"), [(8, 3), (40, 21), (130, 190), (12_100, 11_800)])
def test_mcnemar_is_scipys_binomial_test(one: int, other: int) -> None:
    assert mcnemar(one, other) == pytest.approx(stats.binomtest(one, one + other).pvalue, rel=1e-8)


def test_found_or_not_is_compared_by_mcnemar() -> None:
    """Of 20 images one method alone finds 7, the other alone 1, both find 6."""
    one, other = [0.9] * 7 + [0.1] + [0.9] * 6 + [0.1] * 6, [0.1] * 7 + [0.9] * 7 + [0.1] * 6
    found = difference(rows(records("x", one), records("y", other)), "gt_known", 0, 1)
    assert found is not None
    assert found.value == pytest.approx(6 / 20)
    assert found.p == pytest.approx(2 * (1 + 8) / 2**8)
    assert not found.clear, "0.07 is chance, though the interval leaves 0 out"
    assert found.low > 0


def test_samples_of_one_image_are_drawn_together() -> None:
    """Each image asked four times with the same answer is as sure as each asked once, and not twice as sure."""
    overlaps = drawn(7, 20)
    names = [f"{image}.jpg#{thing}" for image in range(10, 30) for thing in "abcd"]
    once = rows(records("x", overlaps, [f"{image}.jpg" for image in range(10, 30)]))
    often = rows(records("x", np.repeat(overlaps, 4), names), records("y", np.repeat(overlaps - 0.01, 4), names))
    assert often.intervals(0)["box_iou"] == pytest.approx(once.intervals(0)["box_iou"])
    told = difference(often, "gt_known", 0, 1)
    assert told is not None
    assert told.p is None, "the exact test is for images that answer one by one"


def test_few_images_and_images_that_all_agree_have_no_interval() -> None:
    assert rows(records("x", drawn(8, 9))).intervals(0) == {}
    assert "box_iou" in rows(records("x", drawn(8, 10))).intervals(0)
    agreed = rows(records("x", [0.7] * 12)).intervals(0)
    assert "gt_known" not in agreed
    assert "box_iou" not in agreed
    assert difference(rows(records("x", drawn(8, 9)), records("y", drawn(9, 9))), "box_iou", 0, 1) is None


def test_costs_have_no_interval() -> None:
    found = rows(records("x", drawn(10), seconds=np.linspace(1, 2, 60).tolist())).intervals(0)
    assert {"seconds_per_image", "forwards_per_image"}.isdisjoint(found)


def test_only_images_that_both_have_are_compared() -> None:
    """The second method was stopped after 30 of 60 images: 0.1 behind on those. On the rest the first finds nothing."""
    whole = np.append(np.full(30, 0.8), np.zeros(30))
    whole[::3] -= 0.05
    found = difference(rows(records("x", whole), records("y", whole[:30] - 0.1)), "box_iou", 0, 1)
    assert found is not None
    assert (found.images, found.value) == (30, pytest.approx(0.1))
    assert (found.low, found.high) == pytest.approx((0.1, 0.1))


def test_pairs_that_miss_other_images_are_resampled_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """To draw the resamples of 50,000 images takes half a second."""
    whole, times = drawn(16), []
    methods = rows(records("x", whole), records("y", whole[:50] - 0.1), records("z", whole[:40] - 0.2))

    def counted(images: int) -> Any:
        times.append(images)
        return weightings(images)

    monkeypatch.setattr(resampling, "weightings", counted)
    found = differences(methods, "box_iou", [(0, 1), (0, 2), (1, 2)])
    assert {pair: each.images for pair, each in found.items()} == {(0, 1): 50, (0, 2): 40, (1, 2): 40}
    assert [found[pair].low for pair in found] == pytest.approx([0.1, 0.2, 0.1])
    assert len(times) == 1


def test_resamples_are_the_same_each_time_and_draw_as_many_as_there_are() -> None:
    one, again = (np.concatenate(list(weightings(700))) for _ in range(2))
    assert (one == again).all()
    assert one.shape == (RESAMPLES, 700)
    assert (one.sum(axis=1) == 700).all()
    assert np.bincount(one.astype(int).ravel())[0] / one.size == pytest.approx(np.exp(-1), abs=0.002)


def test_each_method_is_compared_with_the_best_and_with_the_best_control() -> None:
    best, other, centre, noise = (
        records(name, overlaps, forwards=[passes] * 40)
        for name, overlaps, passes in (
            ("best", [0.9] * 30 + [0.1] * 10, 1),
            ("other", [0.9] * 25 + [0.1] * 15, 9),
            ("centre", [0.6] * 12 + [0.1] * 28, 0),
            ("noise", [0.1] * 40, 0),
        )
    )
    found = [(each.method, each.against) for each in compared(rows(other, best, centre, noise))]
    against_best = [(name, "best") for name in ("other", "centre", "noise")]
    assert found == against_best + [(name, "centre") for name in ("other", "best", "noise")]


def marks(*methods: list[Record]) -> dict[str, list[str]]:
    """By column: the mark of each method."""
    columns, lines = cells([(manifest().identity, summed_up(*methods))], detail=True)
    return {
        column.info.name: [line.cells[at].mark for line in lines] for at, column in enumerate(columns) if column.info
    }


def test_the_best_is_marked_only_where_the_images_tell() -> None:
    good, close, bad = np.full(40, 0.9), np.append(np.full(38, 0.9), [0.1, 0.1]), np.append(np.full(8, 0.9), [0.1] * 32)
    found = marks(*(records(name, values) for name, values in (("good", good), ("close", close), ("bad", bad))))
    assert found["gt_known"] == ["~", "~", ""], "two images of forty may be chance"
    clear = marks(*(records(name, values) for name, values in (("good", good), ("bad", bad))))
    assert clear["gt_known"] == ["*", ""]
    assert marks(records("good", good))["gt_known"] == [""], "one method is not the best of anything"
    few = marks(*(records(name, values[:5]) for name, values in (("good", good), ("bad", bad[::-1]))))
    assert few["gt_known"] == ["~", "~"]


def test_methods_on_other_images_are_not_compared() -> None:
    good, bad = summed_up(records("x", [0.9] * 20)), summed_up(records("x", [0.1] * 20))
    here, there = manifest().identity, manifest(dataset={"name": "b", "fingerprint": "g"}).identity
    for other, expected in ((there, ["", ""]), (here, ["*", ""])):
        columns, lines = cells([(here, good), (other, bad)], detail=False)
        (at,) = (at for at, column in enumerate(columns) if column.info and column.info.name == "gt_known")
        assert [line.cells[at].mark for line in lines] == expected


def test_a_share_of_levels_is_no_matter_of_found_or_not() -> None:
    protocol = get_protocol("maxboxaccv2")
    overlaps = drawn(11, 30)
    made = [
        record(i, method=name, ious=[float(overlap)] * 1000)
        for name, shift in (("x", 0.0), ("y", 0.2))
        for i, overlap in enumerate(overlaps - shift)
    ]
    with Numbers.of(enumerate(made)) as numbers:
        summary = summarise([numbers], protocol)
    found = difference(Resampled(summary.methods), "gt_known", 0, 1)
    assert isinstance(found, Difference)
    assert found.p is None
    assert found.clear


@pytest.fixture
def run(tmp_path: Path) -> Run:
    directory = RunDirectory.create(tmp_path / "run", manifest())
    for name, seed in (("x", 12), ("y", 13)):
        for each in records(name, drawn(seed, 30)):
            directory.append(each)
    directory.close()
    return Run.open(tmp_path / "run", AT)


def test_json_has_intervals_and_differences(run: Run) -> None:
    told = json.loads(json.dumps(run.as_json(), allow_nan=False))
    for row in told["rows"]:
        low, high = row["intervals"]["gt_known"]
        assert low < row["gt_known"] < high
    (found,) = told["differences"]
    assert {found["method"], found["against"]} == {"x", "y"}
    assert set(found["box_iou"]) == {"images", "value", "low", "high", "p"}
    assert 0 <= found["gt_known"]["p"] <= 1


@pytest.mark.parametrize("width", [80, 120])
def test_intervals_stand_beneath_their_numbers(run: Run, width: int) -> None:
    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(run.table(intervals=True))
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= width
    assert text.count("–") >= 4, "GT-known and box IoU of both methods"
    assert "95 % interval" in text


def test_four_hundred_images_and_ten_methods_take_less_than_a_second() -> None:
    generator = np.random.default_rng(14)
    methods = []
    for number in range(10):
        values = [
            {"pointing": bool(hit), "presence": [bool(hit), False], "presence_auroc": [float(score), 0.3]}
            for hit, score in zip(generator.random(400) > 0.4, generator.random(400), strict=True)
        ]
        methods.append(
            records(str(number), drawn(number, 400), values=values, rank=generator.integers(1, 9, 400).tolist())
        )
    summary = summed_up(*methods)
    start = time.process_time()
    cells([(manifest().identity, summary)], detail=True)
    compared(Resampled(summary.methods))
    assert time.process_time() - start < 1


def test_twenty_thousand_images_need_little_memory() -> None:
    """Less than their IoUs at a hundred thresholds, which a summary holds anyway."""
    summary = summed_up(records("x", drawn(15, 20_000)))
    tracemalloc.start()
    try:
        Resampled(summary.methods).intervals(0)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20_000 * 100 * 8
