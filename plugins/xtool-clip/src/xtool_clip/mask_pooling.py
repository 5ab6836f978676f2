"""Embeddings of an image under many masks that act where its tower pools: see :class:`xtool.plugin.PoolsMasks`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from open_clip.modified_resnet import ModifiedResNet
from open_clip.timm_model import TimmModel
from open_clip.transformer import VisionTransformer
from torch import Tensor, nn

from xtool.loading import half_precision
from xtool.plugin import Encoder, UsageError, hooked, read_under_masks, resized_masks
from xtool_clip import masked_pools
from xtool_clip.layers import blocks_of, is_timm_vit, read_block, token_grid
from xtool_clip.token_pooling import read_pooling

__all__ = ["MaskPooling", "pools_masks", "read_mask_pooling"]

MaskPooling = Callable[[Encoder, Tensor, Tensor], Tensor]
"""The encoder, pixels [B, 3, H, W] and masks [B, N, ·, ·] in [0, 1] to embeddings [B, N, D], not normalised. Passes are
made in the encoder's dtype; pooling itself is float32."""


def pools_masks(visual: nn.Module, encoder: str) -> bool:
    """Whether a tower can pool under masks, as far as :func:`read_mask_pooling` knows."""
    try:
        read_mask_pooling(visual, encoder)
    except UsageError:
        return False
    return True


def read_mask_pooling(visual: Any, encoder: str) -> MaskPooling:
    """How a tower pools under masks. Raises :class:`xtool.plugin.UsageError` for one that cannot."""
    if isinstance(visual, ModifiedResNet):
        return _of_maps(visual, masked_pools.mean_token_pool(visual.attnpool))
    if isinstance(visual, TimmModel) and not is_timm_vit(visual.trunk):
        return _of_maps(visual, masked_pools.mean_of_maps(visual, encoder))
    grid = token_grid(visual)
    pooling = read_pooling(visual, grid, encoder)
    if pooling.kind == "class token":
        for block in blocks_of(visual):
            read_block(block, grid, encoder)  # or be refused
        return lambda own, pixels, masks: pooling.embed_each(read_under_masks(own, pixels, masks))
    if pooling.kind == "mean":
        pool = masked_pools.mean_of_tokens(visual, grid, encoder)
    elif isinstance(visual, VisionTransformer):
        pool = masked_pools.queried_pool(visual, grid, encoder)
    else:
        pool = masked_pools.latent_pool(visual, grid)
    last = blocks_of(visual)[-1]

    def pooled(own: Encoder, pixels: Tensor, masks: Tensor) -> Tensor:
        outputs: list[Tensor] = []
        with hooked(last, outputs.append), half_precision(own.device, own.dtype):
            visual(pixels)
        return pool(grid.ordered(outputs[0]).float(), resized_masks(masks, (grid.height, grid.width)))

    return pooled


def _of_maps(visual: Any, pool: masked_pools.Pool) -> MaskPooling:
    def pooled(own: Encoder, pixels: Tensor, masks: Tensor) -> Tensor:
        if isinstance(visual, ModifiedResNet):
            outputs: list[Tensor] = []
            with hooked(visual.layer4, outputs.append), half_precision(own.device, own.dtype):
                visual(pixels)
            maps = outputs[0].float()
        else:
            with half_precision(own.device, own.dtype):
                found = visual.trunk.forward_features(pixels).float()
            maps = found.permute(0, 3, 1, 2) if masked_pools.channels_last(visual) else found
        return pool(maps, resized_masks(masks, (maps.shape[-2], maps.shape[-1])))

    return pooled
