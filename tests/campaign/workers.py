"""SIGKILL to workers at random moments, while others go on: the table is that of a run by a single process.

By one with as many threads as a worker, as with others the same sums are added up in another order; and to six digits,
as kernels may round the last of them by where in memory a process happens to keep a tensor.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil

from tests.campaign.harness import Attack, Done, Tally, rows

COMPARE = (
    "compare", "--dataset", "scenes:test", "--limit", "64", "--encoder", "tiny-rn", "--methods", "gradcam,center",
    "--json",
)  # fmt: skip
RECORDS = 128
DIGITS = 6
SECONDS = 8.0
"""A little less than workers take to load and explain where nothing else runs: later, there is none to kill."""


def attack(given: Attack) -> Tally:
    """``given.count`` runs, in each of which one worker or two are killed: while they load, or explain images."""
    tally = Tally("SIGKILL to a worker of a run by several")
    whole = given.folder / "whole"
    first = _ended(_started([*COMPARE, "--out", str(whole)], OMP_NUM_THREADS="1"))
    assert first.code == 0, first.stderr
    landed = 0
    for number in range(1, given.count + 1):
        out = given.folder / f"killed{number}"
        running = _started([*COMPARE, "--workers", "2", "--out", str(out)])
        for _ in range(given.chance.randint(1, 2)):
            while running.poll() is None and not _workers(running.pid):
                time.sleep(0.1)
            time.sleep(given.chance.uniform(0, SECONDS))
            if workers := _workers(running.pid) if running.poll() is None else []:
                given.chance.choice(workers).kill()
                landed += 1
        tally.judge(f"run {number}", done := _ended(running), _wrong(out, _rows(first.stdout), done))
    tally.kind += f" ({landed} kills landed)"
    return tally


def _started(arguments: list[str], **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "xtool", *arguments]
    # With the bundled model, whose images take long enough to be killed in; the other kinds do without all plugins.
    every = {name: value for name, value in os.environ.items() if name != "XTOOL_DISABLE_PLUGINS"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=every | environment)


def _ended(running: subprocess.Popen[str]) -> Done:
    stdout, stderr = running.communicate(timeout=600)
    return Done(running.returncode, stdout, stderr)


def _workers(driver: int) -> list[psutil.Process]:
    """Ray's processes that explain images, or are about to; it names each for its class and method."""
    found = []
    for process in psutil.Process(driver).children(recursive=True):
        try:
            if any("_Worker" in word for word in process.cmdline()):
                found.append(process)
        except psutil.Error:  # it has ended meanwhile
            continue
    return found


def _rows(text: str) -> object:
    images, found = rows(f"[{text}]")
    rounded = [{k: round(v, DIGITS) if isinstance(v, float) else v for k, v in row.items()} for row in found]
    return images, rounded


def _wrong(out: Path, expected: object, done: Done) -> str:
    if done.code:
        return f"exit {done.code}: {done.stderr[-300:]}"
    if _rows(done.stdout) != expected:
        return f"another table: {done.stdout[:300]}"
    lines = (out / "records.jsonl").read_bytes().splitlines()
    return "" if len(lines) == RECORDS else f"{len(lines)} records, not {RECORDS}"
