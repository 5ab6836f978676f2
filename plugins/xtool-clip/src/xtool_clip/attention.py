"""The parts of the attention layers of image towers: PyTorch's, open_clip's, and timm's, with and without rotation."""

from __future__ import annotations

from typing import Any

import torch
from open_clip.transformer import Attention as OpenClipAttention
from torch import Tensor, nn
from torch.nn import functional as F

from xtool.plugin import Heads, SelfAttention, TokenGrid, UsageError

TIMM = {
    "Attention": {"timm.layers.attention", "timm.models.vision_transformer"},  # it moved
    "AttentionRope": {"timm.layers.attention"},
    "EvaAttention": {"timm.models.eva"},
}
"""The attention layers of timm that can be read, and the modules where timm keeps or kept them."""


def read_attention(attention: Any, grid: TokenGrid, encoder: str) -> SelfAttention:
    """Read the parts of an attention layer. Raises :class:`xtool.plugin.UsageError` for one of another kind."""
    if isinstance(attention, nn.MultiheadAttention) and attention.in_proj_weight is not None:
        return _multihead(attention, grid)
    if isinstance(attention, OpenClipAttention) and not attention.scaled_cosine:
        return _open_clip(attention, grid)
    kind = type(attention)
    if kind.__module__ in TIMM.get(kind.__name__, ()):
        return _timm(attention, grid)
    raise UsageError(
        f"queries, keys, values and attention cannot be read from {encoder}: its blocks use "
        f"{kind.__module__}.{kind.__name__}; use features 'tokens'"
    )


def _multihead(layer: nn.MultiheadAttention, grid: TokenGrid) -> SelfAttention:
    def arguments(query: Tensor, *_: Any, **__: Any) -> tuple[Tensor, None]:
        return grid.ordered(query), None

    def project(tokens: Tensor, _: Tensor | None) -> Heads:
        fused = F.linear(tokens, layer.in_proj_weight, layer.in_proj_bias)
        return Heads(tokens, *(split(part, layer.num_heads) for part in fused.chunk(3, dim=-1)))

    def merge(found: Tensor, _: Heads) -> Tensor:
        merged: Tensor = layer.out_proj(joined(found))
        return merged

    return SelfAttention(layer, layer.head_dim**-0.5, arguments, project, merge)


def _open_clip(layer: Any, grid: TokenGrid) -> SelfAttention:
    def arguments(tokens: Tensor, *_: Any, **__: Any) -> tuple[Tensor, None]:
        return grid.ordered(tokens), None

    def project(tokens: Tensor, _: Tensor | None) -> Heads:
        fused = F.linear(tokens, layer.in_proj_weight, layer.in_proj_bias)
        queries, keys, values = (split(part, layer.num_heads) for part in fused.chunk(3, dim=-1))
        return Heads(tokens, layer.ln_q(queries), layer.ln_k(keys), values)

    def merge(found: Tensor, _: Heads) -> Tensor:
        found = found if layer.head_scale is None else found * layer.head_scale
        merged: Tensor = layer.out_proj(layer.ln_inner(joined(found)))
        return merged

    return SelfAttention(layer, layer.head_dim**-0.5, arguments, project, merge)


def _timm(layer: Any, grid: TokenGrid) -> SelfAttention:
    def arguments(tokens: Tensor, rope: Tensor | None = None, **_: Any) -> tuple[Tensor, Tensor | None]:
        return grid.ordered(tokens), rope

    def project(tokens: Tensor, rotation: Tensor | None) -> Heads:
        queries, keys, values = _timm_projections(layer, tokens)
        queries, keys = layer.q_norm(queries), layer.k_norm(keys)
        if rotation is not None:
            queries, keys = (_rotated(layer, part, rotation).type_as(values) for part in (queries, keys))
        groups = queries.shape[1] // keys.shape[1]  # several heads of queries may share one of keys and values
        if groups > 1:
            keys, values = (part.repeat_interleave(groups, dim=1) for part in (keys, values))
        return Heads(tokens, queries, keys, values)

    def merge(found: Tensor, heads: Heads) -> Tensor:
        merged = layer.norm(joined(found)) if hasattr(layer, "norm") else joined(found)
        gate = getattr(layer, "gate", None)
        merged = merged if gate is None else merged * gate(heads.tokens).sigmoid()
        projected: Tensor = layer.proj(merged)
        return projected

    return SelfAttention(layer, layer.scale, arguments, project, merge)


def _timm_projections(layer: Any, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    if layer.qkv is None:
        queries = split(layer.q_proj(tokens), layer.num_heads)
        shared = getattr(layer, "num_kv_heads", layer.num_heads)
        return queries, split(layer.k_proj(tokens), shared), split(layer.v_proj(tokens), shared)
    if getattr(layer, "q_bias", None) is None:
        fused = layer.qkv(tokens)
    else:  # EVA keeps the biases beside the projection, and its own call of it has none
        fused = F.linear(tokens, layer.qkv.weight, torch.cat([layer.q_bias, layer.k_bias, layer.v_bias]))
    queries, keys, values = (split(part, layer.num_heads) for part in fused.chunk(3, dim=-1))
    return queries, keys, values


def _rotated(layer: Any, heads: Tensor, rotation: Tensor) -> Tensor:
    """Queries or keys [B, heads, n, d], turned by position; prefix tokens have none."""
    from timm.layers import apply_rot_embed_cat

    prefix, patches = heads[:, :, : layer.num_prefix_tokens], heads[:, :, layer.num_prefix_tokens :]
    half = {"half": True} if getattr(layer, "rotate_half", False) else {}  # older releases know the other way only
    return torch.cat([prefix, apply_rot_embed_cat(patches, rotation, **half)], dim=2)


def split(tokens: Tensor, heads: int) -> Tensor:
    """[B, n, heads·d] to [B, heads, n, d]."""
    return tokens.reshape(*tokens.shape[:2], heads, -1).transpose(1, 2)


def joined(heads: Tensor) -> Tensor:
    """[B, heads, n, d] to [B, n, heads·d]."""
    return heads.transpose(1, 2).flatten(2)
