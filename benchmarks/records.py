"""A synthetic run of many images and methods: how long it takes to write, read, report and resume, and how much memory.

``python -m benchmarks.records --images 50000 --methods 12`` writes such a run with the program's own writer and then
asks for it as people do, each time in a process of its own. Memory is the peak above that of the same command on a run
of one image. Times are as long as one waits, and in brackets what the processors worked.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from xtool.contracts.protocols import Sample
from xtool.evaluator.comparison import Progress, compare
from xtool.runs.run import Run
from xtool.store.directory import RECORDS, RunDirectory
from xtool.store.packed import Packed, PackedMap
from xtool.store.records import Record
from xtool.store.sealed import SEALED

SIZE = (500, 375)
SIDE = 14
"""Cells of a map: those of a ViT-B-16."""
LABELS = ("red", "blue", "green")
POOL = 5000


class Synthetic:
    """As many grey images as one likes, each with one box."""

    name = "synthetic"
    classes = ()

    def __init__(self, images: int) -> None:
        self._images = images

    def __len__(self) -> int:
        return self._images

    def __getitem__(self, index: int) -> Sample:
        label = LABELS[index % len(LABELS)]
        return Sample(
            id=f"ILSVRC2012_val_{index:08d}",
            open=lambda: Image.new("RGB", SIZE, "grey"),
            label=label,
            synonyms=(label,),
            boxes=np.array([[100.0, 50.0, 400.0, 300.0]]),
        )

    def fingerprint(self) -> str:
        return str(self._images)


def methods(count: int) -> list[str]:
    """Rows of which each costs nothing to begin."""
    return [f"random:seed={number}" for number in range(count)]


def write(out: Path, images: int, count: int) -> tuple[float, float]:
    """A complete run, but for its seal, which is written too; seconds for its records and for the seal."""
    _begin(out, images, count)
    run = RunDirectory.resume(out, RunDirectory.open(out).manifest)
    begun = time.perf_counter()
    for record in _records(run, images):
        run.append(record)
    appended = time.perf_counter()
    run.seal()
    run.close()
    return appended - begun, time.perf_counter() - appended


def resume(out: Path, images: int, count: int, *, table: bool) -> None:
    """As ``xtool compare --resume`` does it."""
    run = compare(Synthetic(images), methods=methods(count), encoder="tiny-rn", out=out, resume=True)
    if table:
        from rich.console import Console

        Console(width=160).print(run.table())


def _begin(out: Path, images: int, count: int) -> None:
    """A run that is stopped after its first image, so that its manifest is a real one."""

    def stop(progress: Progress) -> None:
        if progress.done == 1:
            raise KeyboardInterrupt

    arguments = {"methods": methods(count), "encoder": "tiny-rn", "out": out}
    try:
        compare(Synthetic(images), on_progress=stop if images > 1 else None, **arguments)  # type: ignore[arg-type]
    except KeyboardInterrupt:
        return


def _records(run: RunDirectory, images: int) -> Iterator[Record]:
    """For each image and method what is not there yet: noise, which nothing can compress.

    Maps and IoUs are drawn from some thousands, as to make them takes longer than to write them.
    """
    draw = np.random.default_rng(0)
    dataset, done = Synthetic(images), run.done()
    maps = [PackedMap.pack(draw.random((SIDE, SIDE), np.float32)) for _ in range(POOL)]
    swept = [Packed.pack(np.sort(draw.random(100))) for _ in range(POOL)]
    for index in range(images):
        sample = dataset[index]
        for number, label in enumerate(done.missing(index)):
            yield Record(
                index=index,
                image=sample.id,
                method=label,
                label=sample.label,
                rank=int(draw.integers(1, 20)),
                image_size=SIZE,
                true_boxes=[tuple(box) for box in sample.boxes.tolist()],
                ious=swept[draw.integers(POOL)],
                present=bool(draw.random() > 0.3),
                score=draw.random(),
                map=maps[draw.integers(POOL)],
                values={
                    "pointing": bool(draw.random() > 0.5),
                    "presence": [bool(draw.random() > 0.3), bool(draw.random() > 0.6)],
                    "presence_auroc": draw.random(2).tolist(),
                    "specificity": draw.random(),
                    "swapped": swept[draw.integers(POOL)],
                },
                seconds=draw.random(),
                forwards=100 + number,
                seconds_here=draw.random(),
                encoder_seconds_here=0.01,
            )


WATCHED = """
import atexit, re, runpy, sys
where, module = sys.argv[1:3]
def tell():
    peak = re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]
    open(where, "w").write(peak)
atexit.register(tell)
sys.argv[:] = [module, *sys.argv[3:]]
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""
"""Runs a module and writes its peak memory in kB to a file. What ``wait4`` tells is at least that of the parent."""


def measured(*arguments: str) -> tuple[float, float, float]:
    """Seconds of a module's process by the clock and of its processors, and its peak memory in MiB. Linux only."""
    with tempfile.NamedTemporaryFile("r") as peak:
        begun = time.perf_counter()
        command = [sys.executable, "-c", WATCHED, peak.name, *arguments]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{' '.join(arguments)} ended with {process.returncode}")
        return time.perf_counter() - begun, usage.ru_utime + usage.ru_stime, int(peak.read()) / 1024


def asked(out: Path, images: int, count: int) -> Iterator[tuple[str, tuple[float, float, float]]]:
    """Each thing that people ask of a run, and what it cost."""
    report, page = ("xtool", "report", str(out)), str(out) + ".html"
    again = ("benchmarks.records", "--images", str(images), "--methods", str(count), "--out", str(out))
    yield "`xtool report`", measured(*report)
    yield "`xtool report -o page.html`", measured(*report, "-o", page, "--no-counts")
    yield "`xtool report --json`", measured(*report, "--json")
    yield "`compare(resume=True)`, finished", measured(*again, "--step", "resume")
    yield "`xtool compare --resume`, finished, with its table", measured(*again, "--step", "table")
    (out / SEALED).rename(out / "aside")
    yield "`xtool report`, no seal", measured(*report)
    (out / "aside").rename(out / SEALED)
    _cut(out)
    yield "`compare(resume=True)`, one record missing", measured(*again, "--step", "resume")


def _cut(out: Path) -> None:
    """Tear the last line."""
    with (out / RECORDS).open("rb+") as stream:
        stream.seek(-10, os.SEEK_END)
        stream.truncate()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.records", description=__doc__)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--methods", type=int, default=3)
    parser.add_argument("--out", type=Path, help="where the run is written, and left; by default it is removed")
    parser.add_argument("--step", choices=["resume", "table"], help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.step:
        resume(given.out, given.images, given.methods, table=given.step == "table")
        return
    folder = given.out or Path(tempfile.mkdtemp(prefix="xtool-records-"))
    try:
        _measure(folder, given.images, given.methods)
    finally:
        if given.out is None:
            shutil.rmtree(folder)


def _measure(folder: Path, images: int, count: int) -> None:
    whole, empty = folder / "whole", folder / "empty"
    _begin(empty, 1, count)
    appended, sealed = write(whole, images, count)
    total = images * count
    sizes = [(whole / name).stat().st_size for name in (RECORDS, SEALED)]
    print(f"{images:,} images × {count} methods: {total:,} records of {sizes[0] / total:,.0f} bytes each; ")
    print(f"written in {appended:.0f} s, sealed in {sealed:.0f} s into {sizes[1] / total:,.0f} bytes each\n")
    print("| | s | of one image, s | MiB more |\n|---|---|---|---|")
    without = dict(asked(empty, 1, count))
    for what, (seconds, worked, peak) in asked(whole, images, count):
        least, worked_least, peak_least = without[what]
        times = f"{seconds:.1f} ({worked:.1f}) | {least:.1f} ({worked_least:.1f})"
        print(f"| {what} | {times} | {peak - peak_least:,.0f} |", flush=True)
    assert Run.open(whole).images() == images


if __name__ == "__main__":
    main()
