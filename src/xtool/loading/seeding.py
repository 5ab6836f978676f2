"""Random weights that depend on a seed alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from xtool.errors import UsageError


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw from ``seed`` inside, and leave the program's random numbers where they were.

    Build the model on the CPU inside and move it afterwards, so that a seed means the same weights on every device.
    Only the CPU's generator is seeded: ``torch.manual_seed`` would reset those of the GPUs too, and
    ``fork_rng(devices=[])`` not bring them back.

    Raises :class:`xtool.plugin.UsageError` for a seed of more than 64 bits.

    >>> with seeded(0):
    ...     tower = torch.nn.Linear(2, 3)
    """
    if not -(2**63) <= seed < 2**64:
        raise UsageError(f"the seed {seed} does not fit 64 bits; take one from 0 to {2**64 - 1}")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield
