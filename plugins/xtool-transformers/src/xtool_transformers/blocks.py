"""The parts of the transformer blocks of Hugging Face's image towers.

Queries, keys and values are computed from what goes into an attention layer, by the layer's own projections. The
attention itself is left alone: no implementation of it is registered, which a text tower would use too, and without its
causal mask; and nothing depends on ``output_attentions``, which gives nothing under fused attention.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from xtool.plugin import Block, Heads, SelfAttention, TokenGrid

__all__ = ["joined", "read_block", "split"]


def read_block(block: Any, grid: TokenGrid) -> Block:
    """Take apart a block of CLIP, SigLIP or BLIP: norm, attention, norm, feed-forward."""
    return Block(
        block,
        grid,
        norm=block.layer_norm1,
        attention=_read_attention(block.self_attn, grid),
        residual=nn.Identity(),
        feed_forward=lambda tokens: block.mlp(block.layer_norm2(tokens)),
    )


def _read_attention(layer: Any, grid: TokenGrid) -> SelfAttention:
    fused = hasattr(layer, "qkv")  # BLIP's
    output = layer.projection if fused else layer.out_proj

    def arguments(hidden_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, None]:
        return grid.ordered(hidden_states), None

    def project(tokens: Tensor, _: Tensor | None) -> Heads:
        if fused:
            parts = layer.qkv(tokens).chunk(3, dim=-1)
        else:
            parts = (layer.q_proj(tokens), layer.k_proj(tokens), layer.v_proj(tokens))
        return Heads(tokens, *(split(part, layer.num_heads) for part in parts))

    def merge(found: Tensor, _: Heads) -> Tensor:
        merged: Tensor = output(joined(found))
        return merged

    return SelfAttention(layer, layer.scale, arguments, project, merge)


def split(tokens: Tensor, heads: int) -> Tensor:
    """[B, n, heads·d] to [B, heads, n, d]."""
    return tokens.reshape(*tokens.shape[:2], heads, -1).transpose(1, 2)


def joined(heads: Tensor) -> Tensor:
    """[B, heads, n, d] to [B, n, heads·d]."""
    return heads.transpose(1, 2).flatten(2)
