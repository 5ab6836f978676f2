"""From feature maps to masks: which maps are masks at all, how they are scaled, and which give the same mask."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from xtool.engine.guard import all_finite
from xtool.errors import UsageError

__all__ = ["distinct_masks", "finite", "live_maps", "masked_means", "resized_masks", "scaled_masks", "upsampled"]

EPS = 1e-7  # the VL-Score article's code; pytorch-grad-cam's 1e-8 gives the same masks to float32 precision
SAME = 5
"""Digits in which two scaled maps must agree to be taken for one mask: far less than a pixel's 256 levels."""


def live_maps(maps: Tensor) -> Tensor:
    """[B, C] bool: which of the maps [B, C, h, w] carry information. A constant map is dead.

    Dead maps are not masks: they never beat the base, have no weight and never count among the most important maps.
    """
    return maps.amax(dim=(2, 3)) > maps.amin(dim=(2, 3))


def scaled_masks(maps: Tensor, size: tuple[int, int], *, align_corners: bool = True) -> Tensor:
    """Upsample maps [N, 1, h, w] to [N, 1, H, W] and scale each to [0, 1]; a constant map gives zeros."""
    masks = upsampled(maps, size, align_corners=align_corners)
    low = masks.amin(dim=(2, 3), keepdim=True)
    high = masks.amax(dim=(2, 3), keepdim=True)
    return masks.sub_(low).div_(high - low + EPS)


def upsampled(maps: Tensor, size: tuple[int, int], *, align_corners: bool = True) -> Tensor:
    """Maps [N, 1, h, w] brought to [N, 1, H, W]: new ones, also where they have that size already."""
    if tuple(maps.shape[-2:]) == tuple(size):
        return maps.clone()
    return F.interpolate(maps, size, mode="bilinear", align_corners=align_corners)


def distinct_masks(maps: Tensor, live: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Rows (image, channel) of the ``wanted`` [B, C] maps whose masks differ, and each wanted map's place among them.

    Maps that are multiples of each other give the same mask; trained networks have many with a single active cell.
    The first ``live`` map stands for all that are like it, whether it is wanted or not: what a map is embedded as must
    not depend on what else is wanted.
    """
    which = live.nonzero()
    low = maps[live].unsqueeze(1)
    scaled = scaled_masks(low, (low.shape[-2], low.shape[-1])).flatten(1).round(decimals=SAME)
    distinct, group = torch.unique(torch.cat([which[:, :1], scaled], dim=1), dim=0, return_inverse=True)
    rows = torch.arange(len(which), device=which.device)
    first = rows.new_full((len(distinct),), len(which)).scatter_reduce_(0, group, rows, "amin")
    groups, place = torch.unique(group[wanted[live]], return_inverse=True)
    return which[first[groups]], place


def masked_means(maps: Tensor, masks: Tensor) -> Tensor:
    """Means [B, N, C] of maps [B, C, h, w] over all places, weighted by masks [B, N, ·, ·] in [0, 1].

    A mask of zeros gives zeros. Masks of another size than the maps are resized, with antialiasing.
    """
    weights = resized_masks(masks, (maps.shape[-2], maps.shape[-1])).to(maps.dtype).flatten(2)
    total = weights.sum(dim=2, keepdim=True)
    return weights @ maps.flatten(2).transpose(1, 2) / torch.where(total > 0, total, 1.0)


def resized_masks(masks: Tensor, size: tuple[int, int]) -> Tensor:
    """Masks [B, N, ·, ·] in [0, 1] brought to [B, N, h, w], with antialiasing; of that size already, as they are."""
    if tuple(masks.shape[-2:]) == size:
        return masks
    return F.interpolate(masks, size, mode="bilinear", antialias=True)


def finite(maps: Tensor) -> Tensor:
    """The maps. Raises :class:`xtool.plugin.UsageError` if one of their values is no number."""
    if not all_finite(maps):
        raise UsageError("feature maps contain NaN or infinite values; try --dtype float32")
    return maps
