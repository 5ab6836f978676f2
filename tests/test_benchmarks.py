"""The benchmark program starts, and prints tables; what it measures is for a quiet machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.speed import models
from benchmarks.speed.plan import Plan
from xtool.engine.work import Kept, account

ROOT = Path(__file__).resolve().parents[1]


def rows_of(*words: str) -> list[list[str]]:
    """Rows of all tables that the program prints, cell by cell, heads and rules left out."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.speed", *words],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert any(line.startswith("- **CPU**") for line in lines)
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("|")]
    rules = {number for number, row in enumerate(rows) if set(row) == {"---"}}
    return [row for number, row in enumerate(rows) if not rules & {number, number + 1}]


def test_every_section_can_be_imported_and_boxes_need_no_plugin() -> None:
    rows = rows_of("boxes", "--quick")
    assert [row[0] for row in rows] == ["4×4 cells", "7×7 cells", "14×14 cells", "noise"]
    assert all(float(row[1].replace(",", "")) > 0 for row in rows)


@pytest.mark.slow
def test_the_engine_is_measured_beside_the_encoder() -> None:
    pytest.importorskip("xtool_tiny", reason="needs the bundled model")
    rows = rows_of("engine", "--quick", "--maps", "8", "--devices", "cpu")
    assert [row[:4] for row in rows] == [["cpu", "float32", "no", "8"], ["cpu", "bfloat16", "no", "8"]]


@pytest.mark.parametrize(("method", "passes"), [("vlscore", 34), ("scorecam", 34), ("gradcam", 1)])
def test_score_methods_are_given_only_the_maps_that_were_asked_for(method: str, passes: int) -> None:
    """Each map, the image, and the image of nothing; gradients take no map away."""
    pytest.importorskip("xtool_tiny", reason="needs the bundled model")
    encoder = models.encoder("tiny-rn")
    pixels = models.photograph(Plan(), encoder)
    with account(Kept()) as work, torch.no_grad():
        models.method(method, encoder.info, 32).explain(encoder, pixels, encoder.encode_text([models.TEXT]))
    assert work.forwards == passes
