"""The benchmark program starts, and prints tables; what it measures is for a quiet machine."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

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


def test_every_section_can_be_imported_and_the_smallest_print_tables() -> None:
    bundled = importlib.util.find_spec("xtool_tiny") is not None  # boxes need no plugin, the engine needs a model
    rows = rows_of("boxes", *["engine"] * bundled, "--quick", "--maps", "8", "--devices", "cpu")
    boxes, engine = rows[:4], rows[4:]
    assert [row[0] for row in boxes] == ["4×4 cells", "7×7 cells", "14×14 cells", "noise"]
    assert all(float(row[1]) > 0 for row in boxes)
    assert [row[:4] for row in engine] == [["cpu", dtype, "no", "8"] for dtype in ("float32", "bfloat16")] * bundled
