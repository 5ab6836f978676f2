"""Workers: one run by several processes, against one process

`xtool compare` on bundled scenes, each line a run of its own with one thread to a process, as Ray's workers have where
there are as many as cores. Seconds are from the time when every worker has begun to the last image, so without loading
the model and starting the workers; *images/s* is the median, and *faster* the ratio of medians. A process decodes
images and makes boxes in threads of their own: alone, it uses more than one core unless it is kept on one.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from statistics import median

import torch

from benchmarks.speed.plan import Plan
from benchmarks.speed.tables import Table, say
from xtool.evaluator.comparison import Progress, compare
from xtool.evaluator.evaluate import Engine, evaluate
from xtool.evaluator.workers import RayEngine

WORKERS = 2
METHODS = ("gradcam", "vlscore:mask_at=pool")
WARM = 32
"""Images until every worker has begun, which do not count."""


def run(plan: Plan) -> None:
    images, name = (64, "tiny-rn") if plan.quick else (192, plan.encoder)
    threads = torch.get_num_threads()
    cores = os.sched_getaffinity(0)
    engines: dict[str, tuple[Engine, set[int]]] = {
        "one process on one core": (evaluate, {min(cores)}),
        "one process": (evaluate, cores),
        f"{WORKERS} workers": (RayEngine(workers=WORKERS), cores),
    }
    taken: dict[str, list[float]] = {told: [] for told in engines}
    try:
        torch.set_num_threads(1)
        for _ in range(plan.rounds):
            for told, (engine, allowed) in engines.items():
                os.sched_setaffinity(0, allowed)
                taken[told].append(_rate(name, images, engine))
    finally:
        torch.set_num_threads(threads)
        os.sched_setaffinity(0, cores)
    say(f"\n{name}, {images} scenes, {', '.join(METHODS)}, one thread to a process")
    row = Table("run by", "images/s", "faster")
    alone = median(next(iter(taken.values())))
    for told, rates in taken.items():
        row(told, median(rates), f"{median(rates) / alone:.2f}×")


def _rate(encoder: str, images: int, engine: Engine) -> float:
    """Images a second after the first :data:`WARM`."""
    began: list[float] = []

    def watch(state: Progress) -> None:
        if state.done >= WARM:
            began.append(time.perf_counter())

    from benchmarks.speed import models

    loaded = models.encoder(encoder)
    with tempfile.TemporaryDirectory() as folder:
        compare(
            "scenes:test", methods=METHODS, encoder=loaded, limit=images, out=Path(folder) / "run", engine=engine,
            on_progress=watch,
        )  # fmt: skip
    return (len(began) - 1) / (began[-1] - began[0])
