"""Thousands of explanations in one process: equal from any number of threads, and nothing is left behind."""

from __future__ import annotations

import gc
import os
import sys
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tests.campaign.harness import Attack, Tally, with_plugins
from xtool.testing.planted import PlantedCNN, planted_image
from xtool.testing.planted_vit import PlantedViT

THREADS = 8
METHODS = {
    "cnn": ("colourcam", "gradcam", "vlscore"),
    "vit": ("eigencam:features=keys", "eigencam:features=values", "gradcam", "vlscore:features=attention"),
}
"""By architecture: what reads and hooks layers in different ways."""
SLOPE = 1.0
"""MiB per 10,000 explanations that the process may grow by."""
SKIPPED = 0.2
"""The first part of the explanations, in which caches fill, says nothing of growth."""


def attack_by_threads(given: Attack) -> Tally:
    """``count`` explanations from each of eight threads."""
    tally = Tally(f"explanations from {THREADS} threads × {given.count}, beside those of one")
    with with_plugins("cam", "clip", "vlscore"):
        return _judged(tally, len(METHODS) * THREADS * given.count, unequal(given.count))


def attack_by_number(given: Attack) -> Tally:
    """``count`` explanations, one after another."""
    tally = Tally("explanations in one process: memory, files, threads, hooks")
    with with_plugins("cam", "clip", "vlscore"):
        return _judged(tally, given.count, left_behind(given.count))


def _judged(tally: Tally, attempts: int, faults: Iterable[str]) -> Tally:
    tally.faults += faults
    tally.attempts, tally.fine = attempts, attempts if not tally.faults else 0
    return tally


def unequal(each: int) -> Iterator[str]:
    """What is wrong with maps of threads that share one encoder, beside those of one thread."""
    from xtool.explainer import explain

    for encoder in (PlantedCNN(), PlantedViT()):
        methods = METHODS[encoder.info.architecture]
        pictures = [planted_image({"red": (4 * n, 8, 4 * n + 24, 40), "green": (40, 40, 64, 64)}) for n in range(4)]
        questions = [(picture, method) for picture in pictures for method in methods]

        def answer(number: int) -> NDArray[np.float32]:
            picture, method = questions[number % len(questions)]  # noqa: B023 (called in this turn alone)
            return explain(picture, ["red", "green"], methods=method, encoder=encoder).maps  # noqa: B023

        alone = [answer(number) for number in range(len(questions))]
        with ThreadPoolExecutor(THREADS) as pool:
            for number, maps in enumerate(pool.map(answer, range(THREADS * each))):
                if not np.array_equal(maps, alone[number % len(questions)]):
                    yield f"{encoder.info.name}: explanation {number} differs from that of one thread"
                    break


def left_behind(explains: int) -> Iterator[str]:
    """What many explanations leave: memory, file descriptors, hooks, threads."""
    from xtool.explainer import explain

    encoder = PlantedCNN()
    methods = METHODS["cnn"][:2]
    picture = planted_image({"red": (8, 8, 40, 40)})
    sizes: list[tuple[int, float]] = []
    files, threads = 0, 0
    for number in range(explains):
        explain(picture, ["red", f"green {number}"], methods=methods[number % 2], encoder=encoder)
        if number % max(10, explains // 200) == 0 and number >= SKIPPED * explains:
            gc.collect()
            sizes.append((number, resident()))
            files = files or descriptors()
            threads = threads or threading.active_count()
    if descriptors() != files:
        yield f"{descriptors()} file descriptors, {files} before"
    if threading.active_count() != threads:
        yield f"{threading.active_count()} threads, {threads} before"
    if hooks := hooks_of(encoder.visual):
        yield f"{hooks} hooks are left"
    slope = float(np.polyfit(*np.array(sizes).T, 1)[0]) * 10_000
    print(f"memory: {slope:+.2f} MiB per 10,000 explanations, {sizes[-1][1]:.0f} MiB at the end", file=sys.stderr)
    # In few explanations a single page more or less would be a slope.
    if slope > SLOPE and sizes[-1][1] - sizes[0][1] > SLOPE:
        yield f"memory grows by {slope:.2f} MiB per 10,000 explanations"


def hooks_of(module: torch.nn.Module) -> int:
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return sum(len(getattr(each, kind)) for each in module.modules() for kind in kinds)


def resident() -> float:
    """MiB of memory that this process has."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
