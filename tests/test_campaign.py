"""The campaign of ``tests/campaign`` in small: kills, corrupt states, odd inputs, broken plugins, damaged files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_nothing_breaks_in_a_small_campaign() -> None:
    kinds = (
        *("kills=4", "plugins=12", "states=5", "inputs=20", "pictures=30"),
        *("datasets=12", "checkpoints=12", "places=12", "threads=5", "explains=100"),
    )
    done = subprocess.run(
        [sys.executable, "-m", "tests.campaign", *kinds, "--seed", "7"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert sum(line.startswith("| ") for line in done.stdout.splitlines()) == 1 + len(kinds)
