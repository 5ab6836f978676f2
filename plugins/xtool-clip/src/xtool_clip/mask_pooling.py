"""Embeddings of an image under many masks that act where its tower pools: see :class:`xtool.plugin.PoolsMasks`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from open_clip.modified_resnet import ModifiedResNet
from open_clip.timm_model import TimmModel
from open_clip.transformer import VisionTransformer
from torch import Tensor, nn

from xtool.loading import half_precision
from xtool.plugin import UsageError, hooked, read_under_masks, resized_masks
from xtool_clip import masked_pools
from xtool_clip.layers import blocks_of, is_timm_vit, read_block, token_grid
from xtool_clip.token_pooling import read_pooling

__all__ = ["MaskPooling", "pools_masks", "read_mask_pooling"]

MaskPooling = Callable[[Tensor, Tensor], Tensor]
"""Pixels [B, 3, H, W] and masks [B, N, ·, ·] in [0, 1] to embeddings [B, N, D], not normalised."""


def pools_masks(visual: nn.Module, encoder: str) -> bool:
    """Whether a tower can pool under masks, as far as :func:`read_mask_pooling` knows."""
    try:
        read_mask_pooling(visual, encoder)
    except UsageError:
        return False
    return True


def read_mask_pooling(visual: Any, encoder: str, dtype: torch.dtype = torch.float32) -> MaskPooling:
    """How a tower pools under masks, after a pass in ``dtype``; pooling itself is float32.

    Raises :class:`xtool.plugin.UsageError` for a tower that cannot.
    """
    if isinstance(visual, ModifiedResNet):
        return _of_maps(visual, masked_pools.mean_token_pool(visual.attnpool), dtype)
    if isinstance(visual, TimmModel) and not is_timm_vit(visual.trunk):
        return _of_maps(visual, masked_pools.mean_of_maps(visual, encoder), dtype)
    grid = token_grid(visual)
    pooling = read_pooling(visual, grid, encoder)
    if pooling.kind == "class token":
        blocks = [read_block(block, grid, encoder) for block in blocks_of(visual)]
        return lambda pixels, masks: pooling.embed_each(read_under_masks(visual, blocks, pixels, masks, dtype))
    if pooling.kind == "mean":
        pool = masked_pools.mean_of_tokens(visual, grid, encoder)
    elif isinstance(visual, VisionTransformer):
        pool = masked_pools.queried_pool(visual, grid, encoder)
    else:
        pool = masked_pools.latent_pool(visual, grid)
    last = blocks_of(visual)[-1]

    def pooled(pixels: Tensor, masks: Tensor) -> Tensor:
        outputs: list[Tensor] = []
        with hooked(last, outputs.append), half_precision(pixels.device, dtype):
            visual(pixels)
        return pool(grid.ordered(outputs[0]).float(), resized_masks(masks, (grid.height, grid.width)))

    return pooled


def _of_maps(visual: Any, pool: masked_pools.Pool, dtype: torch.dtype) -> MaskPooling:
    def pooled(pixels: Tensor, masks: Tensor) -> Tensor:
        if isinstance(visual, ModifiedResNet):
            outputs: list[Tensor] = []
            with hooked(visual.layer4, outputs.append), half_precision(pixels.device, dtype):
                visual(pixels)
            maps = outputs[0].float()
        else:
            with half_precision(pixels.device, dtype):
                found = visual.trunk.forward_features(pixels).float()
            maps = found.permute(0, 3, 1, 2) if masked_pools.channels_last(visual) else found
        return pool(maps, resized_masks(masks, (maps.shape[-2], maps.shape[-1])))

    return pooled
