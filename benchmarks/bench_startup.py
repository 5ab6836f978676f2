"""How fast the program answers before it does anything: ``uv run pytest benchmarks/bench_startup.py``."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(["-c", "pass"], id="python itself"),
        pytest.param(["-c", "import xtool"], id="import xtool"),
        pytest.param(["-m", "xtool", "--help"], id="xtool --help"),
        pytest.param(["-m", "xtool", "plugins"], id="xtool plugins"),
    ],
)
def test_startup(benchmark: Any, command: list[str]) -> None:
    benchmark.pedantic(subprocess.run, ([sys.executable, *command],), {"stdout": subprocess.DEVNULL}, rounds=10)
