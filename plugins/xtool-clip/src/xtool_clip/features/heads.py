"""Queries, keys and values of a ViT block, from the block's own weights.

The fused attention that open_clip runs keeps none of them, so they are computed again from what went into the
attention layer. This costs one linear layer, not a second pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from open_clip.transformer import Attention as OpenClipAttention
from torch import Tensor, nn
from torch.nn import functional as F

from xtool.plugin import Encoder, UsageError
from xtool_clip.towers import TokenGrid, block, token_grid


@dataclass(frozen=True, slots=True)
class Heads:
    """What the heads of one attention layer work with, and the image embedding from the same pass."""

    queries: Tensor
    """[B, heads, tokens, d], as they meet the keys: after a per-head norm where the layer has one."""
    keys: Tensor
    values: Tensor
    grid: TokenGrid
    embedding: Tensor
    """[B, D] float32, unit norm."""


def read_heads(encoder: Encoder, pixels: Tensor, index: int) -> Heads:
    """Run the image tower once and take the heads of block ``index``.

    Raises :class:`xtool.plugin.UsageError` for a tower or an attention layer that it cannot look into.
    """
    attention = _attention_of(encoder, index)
    grid = token_grid(encoder.visual)
    with _first_input_of(attention) as inputs:
        embedding = encoder.encode_image(pixels)
    tokens = inputs[0]
    if not getattr(attention, "batch_first", True):
        tokens = tokens.transpose(0, 1)  # the layer was given [tokens, B, width]
    if tokens.shape[1] != grid.prefix + grid.height * grid.width:
        raise UsageError(
            f"{encoder.info.name}: {tokens.shape[1]} tokens do not fill its {grid.height}×{grid.width} grid; "
            "is patch dropout on?"
        )
    queries, keys, values = _project(attention, tokens)
    return Heads(queries, keys, values, grid, embedding)


def to_maps(heads: Tensor, grid: TokenGrid) -> Tensor:
    """Turn [B, heads, tokens, d] into maps [B, heads·d, h, w], float32, without the prefix tokens."""
    patches = heads[:, :, grid.prefix :].float()
    return patches.transpose(2, 3).reshape(len(patches), -1, grid.height, grid.width)


@contextmanager
def _first_input_of(module: nn.Module) -> Iterator[list[Tensor]]:
    """Catch what goes into ``module`` while the context is open; the hook is gone afterwards, whatever happens."""
    caught: list[Tensor] = []

    def catch(_: nn.Module, args: tuple[Any, ...]) -> None:
        caught.append(args[0])

    handle = module.register_forward_pre_hook(catch)
    try:
        yield caught
    finally:
        handle.remove()


def _attention_of(encoder: Encoder, index: int) -> nn.Module:
    attention = getattr(block(encoder.visual, index), "attn", None)
    if isinstance(attention, nn.Module) and _is_known(attention):
        return attention
    kind = f"{type(attention).__module__}.{type(attention).__name__}"
    raise UsageError(
        f"queries, keys, values and attention cannot be read from {encoder.info.name}: its blocks use {kind}; "
        "use features 'tokens'"
    )


def _is_known(attention: nn.Module) -> bool:
    if isinstance(attention, nn.MultiheadAttention):
        return attention.in_proj_weight is not None
    if isinstance(attention, OpenClipAttention):
        return not attention.scaled_cosine
    return _is_plain_timm(attention)


def _is_plain_timm(attention: nn.Module) -> bool:
    """timm's ``Attention`` with one fused projection. Its rotary relatives turn queries and keys by position."""
    kind = type(attention)
    modules = {"timm.layers.attention", "timm.models.vision_transformer"}  # it moved
    return kind.__name__ == "Attention" and kind.__module__ in modules


def _project(attention: nn.Module, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """[B, tokens, width] to queries, keys and values [B, heads, tokens, d]."""
    layer: Any = attention
    if _is_plain_timm(attention):
        projected, query_norm, key_norm = layer.qkv(tokens), layer.q_norm, layer.k_norm
    else:
        projected = F.linear(tokens, layer.in_proj_weight, layer.in_proj_bias)
        query_norm, key_norm = getattr(layer, "ln_q", None), getattr(layer, "ln_k", None)
    queries, keys, values = (
        part.unflatten(-1, (layer.num_heads, -1)).transpose(1, 2) for part in projected.chunk(3, dim=-1)
    )
    queries = queries if query_norm is None else query_norm(queries)
    keys = keys if key_norm is None else key_norm(keys)
    return queries, keys, values
