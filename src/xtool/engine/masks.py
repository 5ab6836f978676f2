"""From feature maps to masks: scaled, upsampled or brought to the size of a tower's last maps."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from xtool.errors import UsageError

__all__ = ["finite", "live_maps", "masked_means", "resized_masks", "scaled_masks", "upsampled"]

EPS = 1e-7  # the VL-Score article's code; pytorch-grad-cam's 1e-8 gives the same masks to float32 precision


def live_maps(maps: Tensor) -> Tensor:
    """[B, C] bool: which of the maps [B, C, h, w] carry information. A constant map is dead.

    Dead maps are not masks: they never beat the base, have no weight and never count among the most important maps.
    """
    return maps.amax(dim=(2, 3)) > maps.amin(dim=(2, 3))


def scaled_masks(maps: Tensor, size: tuple[int, int], *, align_corners: bool = True) -> Tensor:
    """Upsample maps [N, 1, h, w] to [N, 1, H, W] and scale each to [0, 1]; a constant map gives zeros."""
    masks = upsampled(maps, size, align_corners)
    low = masks.amin(dim=(2, 3), keepdim=True)
    high = masks.amax(dim=(2, 3), keepdim=True)
    return masks.sub_(low).div_(high - low + EPS)


def upsampled(maps: Tensor, size: tuple[int, int], align_corners: bool) -> Tensor:
    if tuple(maps.shape[-2:]) == tuple(size):
        return maps.clone()
    return F.interpolate(maps, size, mode="bilinear", align_corners=align_corners)


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
    if not torch.isfinite(maps).all():
        raise UsageError("feature maps contain NaN or infinite values; try --dtype float32")
    return maps
