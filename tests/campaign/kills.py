"""SIGKILL at random moments, also to two that resume at once: the table is that of a run that nobody disturbed."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

from tests.campaign.harness import Attack, Tally, rows, run, start, wait

COMPARE = ("compare", "--dataset", "patches", "--encoder", "planted-cnn", "--methods", "colourcam,everywhere", "--json")


def attack(given: Attack) -> Tally:
    tally = Tally("SIGKILL while a run is written, sealed or resumed by two at once")
    whole = given.folder / "whole"
    began = time.monotonic()
    first = run([*COMPARE, "--out", str(whole)])
    took = time.monotonic() - began
    assert first.code == 0, first.stderr
    expected = rows(run(["report", str(whole), "--json"]).stdout)
    landed = number = 0
    while landed < given.count:
        number += 1
        out = given.folder / f"killed{number}"
        told = given.folder / f"told{number}"
        for writer in range(2):
            (told / str(writer)).mkdir(parents=True)
        for _ in range(given.chance.randint(1, 4)):
            writers = [
                start([*COMPARE, "--out", str(out), "--resume"], told / str(writer))
                for writer in range(given.chance.choice((1, 1, 2)))
            ]
            time.sleep(given.chance.uniform(0, took * 1.2))
            for writer in writers:
                ended, _ = os.waitpid(writer, os.WNOHANG)
                if not ended:
                    landed += 1
                    os.killpg(writer, signal.SIGKILL)
                    wait(writer, 10)
        done = run([*COMPARE, "--out", str(out), "--resume"])
        wrong = "" if done.code else _wrong(out, expected)
        if done.code:
            wrong = f"cannot be resumed: {done.stderr[-200:]}"
        tally.judge(f"run {number}", done, wrong)
        if not wrong:
            shutil.rmtree(out)
        shutil.rmtree(told)
    tally.kind += f" ({landed} kills landed)"
    return tally


def _wrong(out: Path, expected: object) -> str:
    found = run(["report", str(out), "--json"])
    if found.code or rows(found.stdout) != expected:
        return f"another table: {found.stdout[:200]} {found.stderr[:200]}"
    lines = (out / "records.jsonl").read_bytes().splitlines()
    return "" if len(lines) == 24 else f"{len(lines)} records, not 24"
