"""``--maps``: what records keep is what was scored, so that a record repeats its own numbers to the last digit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xtool.runs.run import Run
from xtool.store.packed import PackedMap, kept

COMPARE = ("compare", "--encoder", "planted-cnn", "--dataset", "patches", "--methods", "colourcam", "--limit", "4")


@pytest.mark.parametrize("maps", ["low", "full"])
def test_a_record_repeats_its_own_ious_exactly(xtool: Any, tmp_path: Path, maps: str) -> None:
    assert xtool(*COMPARE, "--maps", maps, "--out", "run").returncode == 0
    run = Run.open(tmp_path / "run")
    for record in run.records():
        again = run.protocol.best_ious(run.image_map(record), record.true_boxes)
        assert np.array_equal(again, record.ious.unpack())


def test_without_maps_there_are_the_same_numbers_and_neither_galleries_nor_counts(xtool: Any, tmp_path: Path) -> None:
    rows = {}
    for maps in ("low", "none"):
        done = xtool(*COMPARE, "--maps", maps, "--out", maps, "--json")
        rows[maps] = [{**row, "seconds_per_image": 0} for row in json.loads(done.stdout)["rows"]]
    assert rows["none"] == rows["low"]
    assert (tmp_path / "none" / "records.jsonl").stat().st_size < (tmp_path / "low" / "records.jsonl").stat().st_size
    done = xtool("report", "none", "-o", "page.html")
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "page.html").read_text("utf-8")
    assert "this run keeps no maps (--maps none)" in text
    assert "<h4>Best" not in text
    assert "Boxes as the threshold moves" not in text
    refused = xtool("report", "none", "--counts")
    assert refused.returncode == (1 if Run.open(tmp_path / "none").results[0].several else 0)
    assert "Traceback" not in refused.stderr


def test_maps_belong_to_what_a_run_is(xtool: Any) -> None:
    xtool(*COMPARE, "--out", "run")
    done = xtool(*COMPARE, "--maps", "full", "--out", "run", "--resume")
    assert done.returncode == 1
    assert "maps: 'low' in the run, 'full' now" in done.stderr


def test_what_is_scored_is_what_the_record_holds() -> None:
    values = np.random.default_rng(0).normal(size=(9, 7)).astype(np.float32)
    assert np.array_equal(kept(values, "full"), values)
    for maps in ("low", "none"):
        assert np.array_equal(kept(values, maps), PackedMap.pack(values).unpack())


def test_a_constant_map_stays_constant() -> None:
    for value in (0.0, -3.5, 1e30):
        flat = np.full((3, 4), value, np.float32)
        assert np.array_equal(PackedMap.pack(flat).unpack(), flat)
