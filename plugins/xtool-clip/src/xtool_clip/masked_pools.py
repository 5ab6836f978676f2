"""The poolings of image towers under masks: each takes what the tower pools, and N masks for each image.

A pool that asks the image by attention has its keys masked; one that takes a mean, the mean. A tower that pools by its
class token has nothing to mask there: see :func:`xtool.plugin.read_under_masks`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from open_clip.modified_resnet import AttentionPool2d
from open_clip.transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional as F

from xtool.plugin import TokenGrid, UsageError, attend, attend_one, cell_weights, masked_means
from xtool_clip.attention import joined, split
from xtool_clip.token_pooling import projected

__all__ = ["Pool", "latent_pool", "mean_of_maps", "mean_of_tokens", "mean_token_pool", "queried_pool"]

Pool = Callable[[Tensor, Tensor], Tensor]
"""Maps [B, C, h, w] or tokens [B, n, width], and masks [B, N, h, w] in [0, 1], to embeddings [B, N, D]."""


def mean_token_pool(pool: AttentionPool2d) -> Pool:
    """Of CLIP's ResNets: the mean of all places asks the places and itself."""

    def pooled(maps: Tensor, masks: Tensor) -> Tensor:
        places = maps.flatten(2).transpose(1, 2)
        tokens = torch.cat([places.mean(dim=1, keepdim=True), places], dim=1) + pool.positional_embedding
        given = ((tokens[:, :1], pool.q_proj), (tokens, pool.k_proj), (tokens, pool.v_proj))
        query, keys, values = (split(layer(part), pool.num_heads) for part, layer in given)
        found = attend_one(query, keys, values, cell_weights(masks, 1), query.shape[-1] ** -0.5)
        embedded: Tensor = pool.c_proj(joined(found))
        return embedded

    return pooled


def latent_pool(visual: Any, grid: TokenGrid) -> Pool:
    """Of SigLIP and PE, in timm: one learnt query asks the tokens, in some towers a class token among them."""
    trunk, pool = visual.trunk, visual.trunk.attn_pool
    others = grid.prefix_tokens if getattr(trunk, "pool_include_prefix", True) else 0

    def pooled(tokens: Tensor, masks: Tensor) -> Tensor:
        asked = trunk.norm(tokens)[:, grid.prefix_tokens - others :]
        keys, values = (split(part, pool.num_heads) for part in pool.kv(asked).chunk(2, dim=-1))
        query = pool.q_norm(split(pool.q(pool.latent), pool.num_heads))
        found = pool.proj(joined(attend(query, pool.k_norm(keys), values, cell_weights(masks, others), pool.scale)))
        if pool.mlp is not None:
            found = found + pool.mlp(pool.norm(found))
        embedded: Tensor = visual.head(trunk.head(trunk.fc_norm(found)))
        return embedded

    return pooled


def queried_pool(visual: Any, grid: TokenGrid, encoder: str) -> Pool:
    """Of CoCa: learnt queries ask all tokens, the class token among them, and the first answer is the embedding."""
    pool = visual.attn_pool
    attention = pool.attn
    if visual.pool_type != "tok":
        raise UsageError(f"{encoder} takes the mean of the answers to many queries, which is too much under many masks")
    if attention.in_proj_weight is None:
        weights = (attention.q_proj_weight, attention.k_proj_weight, attention.v_proj_weight)
    else:
        weights = attention.in_proj_weight.chunk(3)
    biases = attention.in_proj_bias.chunk(3)

    def pooled(tokens: Tensor, masks: Tensor) -> Tensor:
        given = (pool.ln_q(pool.query[:1])[None], pool.ln_k(tokens), pool.ln_k(tokens))
        query, keys, values = (
            split(F.linear(part, weight, bias), attention.num_heads)
            for part, weight, bias in zip(given, weights, biases, strict=True)
        )
        seen = cell_weights(masks, grid.prefix_tokens)
        found = attention.out_proj(joined(attend(query, keys, values, seen, attention.head_dim**-0.5)))
        return projected(visual, visual.ln_post(found))

    return pooled


def mean_of_tokens(visual: Any, grid: TokenGrid, encoder: str) -> Pool:
    """Of transformers that pool the mean of their patch tokens."""
    if isinstance(visual, VisionTransformer):
        last = visual.ln_post
        before, after = (nn.Identity(), last) if visual.final_ln_after_pool else (last, nn.Identity())
        return lambda tokens, masks: projected(visual, after(masked_means(grid.maps(before(tokens)), masks)))
    trunk = visual.trunk
    if getattr(trunk, "pool_include_prefix", False):
        raise UsageError(f"{encoder} takes the mean of all tokens, some of which no mask covers")

    def pooled(tokens: Tensor, masks: Tensor) -> Tensor:
        means = masked_means(grid.maps(trunk.norm(tokens)), masks)
        embedded: Tensor = visual.head(trunk.head(trunk.fc_norm(means)))
        return embedded

    return pooled


def mean_of_maps(visual: Any, encoder: str) -> Pool:
    """Of timm's towers that end in maps: their head takes the mean, and goes on from it alone."""
    trunk = visual.trunk

    def embed(maps: Tensor) -> Tensor:
        embedded: Tensor = visual.head(trunk.forward_head(maps.permute(0, 2, 3, 1) if channels_last(visual) else maps))
        return embedded

    weight = next(trunk.parameters())
    probe = torch.randn(1, trunk.num_features, 3, 2, generator=torch.Generator().manual_seed(0)).to(weight)
    try:
        with torch.no_grad():
            whole, of_mean = embed(probe), embed(probe.mean(dim=(2, 3), keepdim=True))
    except RuntimeError as error:
        raise UsageError(f"{encoder} pools its last maps in a way that xtool-clip cannot read: {error}") from error
    if not torch.allclose(whole, of_mean, rtol=1e-4, atol=1e-4 * float(whole.abs().max())):
        raise UsageError(f"{encoder} does not pool its last maps by their mean, and takes no masks there")

    def pooled(maps: Tensor, masks: Tensor) -> Tensor:
        means = masked_means(maps, masks)
        return embed(means.flatten(0, 1)[:, :, None, None]).reshape(*means.shape[:2], -1)

    return pooled


def channels_last(visual: Any) -> bool:
    """Whether a tower of timm's gives its maps as [B, h, w, C]."""
    return bool(getattr(visual.trunk, "output_fmt", "NCHW") == "NHWC")
