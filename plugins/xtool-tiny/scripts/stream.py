"""Endless training scenes: generator processes feed a ring of scenes that batches are drawn from."""

from __future__ import annotations

import multiprocessing as mp
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from xtool_tiny.compose import Recipe, compose
from xtool_tiny.drawings import load
from xtool_tiny.things import things

CHUNK = 256


@dataclass(frozen=True, slots=True)
class Stream:
    """Where scenes come from."""

    drawings: Path
    workers: int
    echo: float
    """How often a scene is used, on average: the balance between generator and model on few cores."""
    ring: int = 6144
    """Scenes that batches are drawn from, so that the uses of one scene lie far apart."""
    ready: Callable[[Tensor], tuple[Tensor, ...]] = lambda pixels: (pixels,)
    """What is kept of new scenes' pixels, uint8 [N, 3, size, size]: work to be done once a scene, not once a use."""

    def batches(self, recipe: Recipe, batch: int, seed: int) -> Iterator[tuple[Tensor, ...]]:
        """Yield multi-hot labels [batch, things] and what :attr:`ready` made of the pixels, for ever.

        The same seed and number of workers give the same batches.
        """
        context = mp.get_context("spawn")
        queues: list[Any] = [context.Queue(maxsize=4) for _ in range(self.workers)]
        processes = [
            context.Process(target=_generate, args=(self.drawings, recipe, (seed, index), queue), daemon=True)
            for index, queue in enumerate(queues)
        ]
        for process in processes:
            process.start()
        try:
            yield from self._mix(queues, batch, np.random.default_rng(seed))
        finally:
            for process in processes:
                process.terminate()

    def _mix(self, queues: list[Any], batch: int, rng: np.random.Generator) -> Iterator[tuple[Tensor, ...]]:
        kept: list[Tensor] = []
        made, used = 0, 0
        while True:
            while made < self.ring or used > (made - self.ring / 2) * self.echo:
                images, present = queues[made // CHUNK % self.workers].get()
                pixels = torch.from_numpy(images).permute(0, 3, 1, 2)
                new = (torch.from_numpy(present).float(), *self.ready(pixels))
                if not kept:
                    kept = [x.new_empty((self.ring, *x.shape[1:])) for x in new]
                slot = made % self.ring
                for old, x in zip(kept, new, strict=True):
                    old[slot : slot + CHUNK] = x
                made += CHUNK
            index = torch.from_numpy(rng.choice(self.ring, batch, replace=False))
            used += batch
            yield tuple(x[index] for x in kept)


def _generate(drawings: Path, recipe: Recipe, seed: tuple[int, int], queue: Any) -> None:
    os.nice(5)  # the model comes first where cores are few
    cv2.setNumThreads(1)
    rng, sets = np.random.default_rng(seed), load(drawings, "train")
    row = {thing.name: index for index, thing in enumerate(things())}
    while True:
        images = np.empty((CHUNK, recipe.size, recipe.size, 3), np.uint8)
        present = np.zeros((CHUNK, len(row)), bool)
        for index in range(CHUNK):
            scene = compose(rng, sets, recipe)
            images[index] = scene.image
            # Names only: boxes and masks never leave this loop.
            present[index, [row[placed.thing] for placed in scene.objects]] = True
        queue.put((images, present))
