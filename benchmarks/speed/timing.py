"""Seconds of a piece of work: warmed up, synchronised, repeated, and the median of all."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import median

import torch

Work = Callable[[], object]

ENOUGH = 1.5
"""Seconds after which short work has been repeated often enough."""
MOST = 50


def once(work: Work) -> float:
    """Seconds of one run, and of what it left a GPU to do."""
    _synchronise()
    start = time.perf_counter()
    work()
    _synchronise()
    return time.perf_counter() - start


def seconds(work: Work, rounds: int, *, warm: bool = True) -> float:
    """Median seconds of ``rounds`` runs, or of more where they are short; before them one that does not count."""
    if warm:
        once(work)
    taken: list[float] = []
    while len(taken) < rounds or (sum(taken) < ENOUGH and len(taken) < MOST and rounds > 1):
        taken.append(once(work))
    return median(taken)


def interleaved(works: Sequence[Work], rounds: int, *, warm: bool = True) -> list[list[float]]:
    """Seconds of each work in each round, all works in turn: what disturbs the machine disturbs all of them alike."""
    if warm:
        for work in works:
            once(work)
    taken = [[once(work) for work in works] for _ in range(rounds)]
    return [list(each) for each in zip(*taken, strict=True)]


def _synchronise() -> None:
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
