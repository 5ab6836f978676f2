"""``PlantedDeadMaps``: the planted CNN with feature maps that are the same everywhere, as trained networks have many.

A dead map masks the whole image away, so its masked image embeds as the base image does. A method that asks which of
the two scores higher gets an answer from rounding; it must not ask. The embedding has many dimensions here, and all of
them count: the order of a sum then shows in its last digits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from xtool.testing.planted import DIMENSIONS, PlantedCNN, PlantedTower

DEAD = (0.0, 0.5, 0.0, 1.0, 0.0, 0.2)
"""The value of each dead map."""
WIDE = 512


class PlantedDeadMaps(PlantedCNN):
    """A :class:`PlantedCNN` with dead maps after the living ones, and its embeddings turned into more dimensions."""

    def __init__(self, input_size: tuple[int, int] = (64, 64), seed: int | None = None) -> None:
        super().__init__(input_size, seed)
        _add_dead_maps(self._visual)
        self._info = replace(self._info, name="planted-dead-maps", embed_dim=WIDE)

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        return super().encode_text(texts) @ _axes()


def _axes() -> Tensor:
    """[8, D] orthonormal: where the dimensions of the planted CNN lie."""
    noise = torch.randn(WIDE, DIMENSIONS, generator=torch.Generator().manual_seed(0))
    axes: Tensor = torch.linalg.qr(noise).Q.T
    return axes


@torch.no_grad()
def _add_dead_maps(tower: PlantedTower) -> None:
    narrow, proj = tower.layer1[0], tower.proj
    assert isinstance(narrow, nn.Conv2d)
    assert narrow.bias is not None
    living = narrow.out_channels
    with torch.random.fork_rng(devices=[]):  # what they start with is overwritten, and must not disturb the caller's
        tower.layer1[0] = wide = nn.Conv2d(3, living + len(DEAD), 1)
        tower.proj = nn.Linear(living + len(DEAD), WIDE)
    assert wide.bias is not None
    wide.weight.copy_(torch.cat([narrow.weight, torch.zeros(len(DEAD), 3, 1, 1)]))
    wide.bias.copy_(torch.cat([narrow.bias, torch.tensor(DEAD)]))
    tower.proj.weight.copy_(_axes().T @ torch.cat([proj.weight, torch.zeros(DIMENSIONS, len(DEAD))], dim=1))
    tower.proj.bias.copy_(_axes().T @ proj.bias)
