"""The random masks of RISE (section 3.2 of the paper), on a grid that xtool's mask engine enlarges."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

STEPS = 4
"""Shifts of a mask within one cell, along each side."""


def draw_masks(count: int, grid: int, keep: float, seed: int) -> Tensor:
    """Masks [count, n, n] in [0, 1] with n = grid·STEPS + 1 nodes from edge to edge of the image.

    The paper draws a coarse grid of zeros and ones, enlarges it bilinearly to one cell more than the image, and cuts
    the image's size out at a random place. Here that place is a multiple of a quarter of a cell. Then all corners of
    the bilinear pieces lie on the nodes, and enlarging the nodes (``align_corners=True``) gives the very same mask, so
    that masks never have to exist at full size.
    """
    generator = torch.Generator().manual_seed(seed)  # on the CPU: the same masks on every device
    coarse = (torch.rand(count, 1, grid + 2, grid + 2, generator=generator) < keep).float()
    side = (grid + 1) * STEPS + 1
    fine = F.interpolate(coarse, (side, side), mode="bilinear", align_corners=True)[:, 0]
    nodes = grid * STEPS + 1
    shifts = torch.randint(STEPS, (count, 2), generator=generator)
    which = torch.arange(count)[:, None, None]
    rows = (shifts[:, :1] + torch.arange(nodes))[:, :, None]
    columns = (shifts[:, 1:] + torch.arange(nodes))[:, None, :]
    return fine[which, rows, columns]
