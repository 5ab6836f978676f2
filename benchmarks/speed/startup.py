"""Start-up: what the program needs before it does anything

Medians of 10 starts of a process, with the compiled modules that an installed program has.
"""

from __future__ import annotations

import os
import subprocess
import sys

from benchmarks.speed.plan import Plan
from benchmarks.speed.tables import Table
from benchmarks.speed.timing import interleaved

COMMANDS = {
    'python -c "pass"': ["-c", "pass"],
    'python -c "import xtool"': ["-c", "import xtool"],
    "xtool --help": ["-m", "xtool", "--help"],
    "xtool plugins": ["-m", "xtool", "plugins"],
}


def run(plan: Plan) -> None:
    from statistics import median

    taken = interleaved([_start(words) for words in COMMANDS.values()], rounds=2 if plan.quick else 10)
    row = Table("command", "ms")
    for command, each in zip(COMMANDS, taken, strict=True):
        row(f"`{command}`", 1000 * median(each))


def _start(words: list[str]):
    # Where it is set, every start would compile all modules anew.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return lambda: subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL, env=env)
