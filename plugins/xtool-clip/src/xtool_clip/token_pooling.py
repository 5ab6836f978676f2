"""How image towers pool their tokens into one embedding: by the class token, by their mean, or by attention."""

from __future__ import annotations

from typing import Any

import torch
from open_clip.timm_model import TimmModel
from open_clip.transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional as F

from xtool.plugin import Pooling, TokenGrid, UsageError
from xtool_clip.attention import split


def read_pooling(visual: nn.Module, grid: TokenGrid, encoder: str) -> Pooling:
    """Describe the pooling of a tower. Raises :class:`xtool.plugin.UsageError` for one of another kind."""
    if isinstance(visual, VisionTransformer):
        kind, way = visual.pool_type, visual.attn_pool
        if way is not None and visual.attn_pool_contrastive is None and kind == "tok":
            return _queried(visual)
        if way is None and kind in ("tok", "avg"):
            return _open_clip(visual, grid)
        if way is not None:
            two = visual.attn_pool_contrastive is not None
            kind = f"two attention layers ({visual.attn_pool_type})" if two else f"the answers to many queries ({kind})"
        else:
            kind = repr(kind)
    elif isinstance(visual, TimmModel):
        kind = visual.trunk.global_pool
        if getattr(visual.trunk, "attn_pool", None) is not None:
            return _latent(visual, grid)
        if kind in ("token", "avg"):
            return _timm(visual, grid)
        kind = repr(kind)
    else:
        kind = f"{type(visual).__name__}'s own way"
    raise UsageError(f"{encoder} pools its tokens by {kind}, which xtool-clip cannot read")


def pools_by_class_token(visual: nn.Module) -> bool:
    """Whether the embedding is the class token's, so that patch tokens have no effect after the last attention."""
    if isinstance(visual, VisionTransformer):
        return bool(visual.attn_pool is None and visual.pool_type == "tok")
    trunk: Any = visual.trunk if isinstance(visual, TimmModel) else None
    return trunk is not None and getattr(trunk, "attn_pool", None) is None and trunk.global_pool == "token"


def _open_clip(visual: Any, grid: TokenGrid) -> Pooling:
    def embed(tokens: Tensor) -> Tensor:
        return projected(visual, visual._pool(tokens)[0])

    def embed_each(tokens: Tensor) -> Tensor:
        return projected(visual, visual.ln_post(tokens))

    def embed_shared(tokens: Tensor, shares: Tensor) -> Tensor:
        if visual.final_ln_after_pool:
            return projected(visual, visual.ln_post(_weighed(tokens, shares)))
        return projected(visual, _weighed(visual.ln_post(tokens), shares))

    if visual.pool_type == "tok":
        return Pooling("class token", embed, embed_each, _share_of_the_first, embed_shared)
    return Pooling("mean", embed, embed_each, lambda tokens: _even_shares(tokens, grid.prefix_tokens), embed_shared)


def _queried(visual: Any) -> Pooling:
    """CoCa's: learnt queries ask all tokens; the embedding is the first answer."""
    pool = visual.attn_pool

    def values(tokens: Tensor) -> Tensor:
        attention, keys = pool.attn, pool.ln_k(tokens)
        weight = attention.v_proj_weight if attention.in_proj_weight is None else attention.in_proj_weight.chunk(3)[2]
        return F.linear(keys, weight, attention.in_proj_bias.chunk(3)[2])

    def answer(values: Tensor) -> Tensor:
        return projected(visual, visual.ln_post(pool.attn.out_proj(values)))

    def embed(tokens: Tensor) -> Tensor:
        return projected(visual, visual._pool(tokens)[0])

    def embed_each(tokens: Tensor) -> Tensor:
        # With one token to ask, every query gets that token's value.
        return answer(values(tokens))

    def embed_shared(tokens: Tensor, shares: Tensor) -> Tensor:
        return answer(_weighed_heads(values(tokens), shares))

    def shares(tokens: Tensor) -> Tensor:
        keys = pool.ln_k(tokens)
        queries = pool.ln_q(pool.query).expand(len(tokens), -1, -1)
        weights: Tensor = pool.attn(queries, keys, keys, need_weights=True, average_attn_weights=False)[1]
        return weights[:, :, 0]

    return Pooling("attention", embed, embed_each, shares, embed_shared)


def _timm(visual: Any, grid: TokenGrid) -> Pooling:
    trunk = visual.trunk

    def embed(tokens: Tensor) -> Tensor:
        embedded: Tensor = visual.head(trunk.forward_head(trunk.norm(tokens)))
        return embedded

    def embed_each(tokens: Tensor) -> Tensor:
        embedded: Tensor = visual.head(trunk.head(trunk.fc_norm(trunk.norm(tokens))))
        return embedded

    def embed_shared(tokens: Tensor, shares: Tensor) -> Tensor:
        embedded: Tensor = visual.head(trunk.head(trunk.fc_norm(_weighed(trunk.norm(tokens), shares))))
        return embedded

    if trunk.global_pool == "token":
        return Pooling("class token", embed, embed_each, _share_of_the_first, embed_shared)
    left_out = 0 if getattr(trunk, "pool_include_prefix", False) else grid.prefix_tokens
    return Pooling("mean", embed, embed_each, lambda tokens: _even_shares(tokens, left_out), embed_shared)


def _latent(visual: Any, grid: TokenGrid) -> Pooling:
    """SigLIP's: one learnt query asks the tokens, a class token among them in some towers and not in others."""
    trunk, pool = visual.trunk, visual.trunk.attn_pool
    left_out = 0 if getattr(trunk, "pool_include_prefix", True) else grid.prefix_tokens
    if pool.pos_embed is not None or pool.latent_len != 1:
        raise UsageError("attention pooling with positions, or with more than one query, cannot be read")

    def embed(tokens: Tensor) -> Tensor:
        embedded: Tensor = visual.head(trunk.forward_head(trunk.norm(tokens)))
        return embedded

    def embed_each(tokens: Tensor) -> Tensor:
        alone = trunk.norm(tokens).flatten(0, 1)[:, None]
        pooled = pool(alone).view(*tokens.shape[:2], -1)
        embedded: Tensor = visual.head(trunk.head(trunk.fc_norm(pooled)))
        return embedded

    def shares(tokens: Tensor) -> Tensor:
        asked = trunk.norm(tokens)[:, left_out:]
        query = pool.q_norm(split(pool.q(pool.latent), pool.num_heads))
        keys = pool.k_norm(split(pool.kv(asked).chunk(2, dim=-1)[0], pool.num_heads))
        weights = (query @ keys.transpose(-2, -1) * pool.scale).softmax(dim=-1)[:, :, 0]
        return F.pad(weights, (left_out, 0))

    def embed_shared(tokens: Tensor, shares: Tensor) -> Tensor:
        values = pool.kv(trunk.norm(tokens)).chunk(2, dim=-1)[1]
        pooled = pool.proj(_weighed_heads(values, shares))
        pooled = pooled if pool.mlp is None else pooled + pool.mlp(pool.norm(pooled))
        embedded: Tensor = visual.head(trunk.head(trunk.fc_norm(pooled)))
        return embedded

    return Pooling("attention", embed, embed_each, shares, embed_shared)


def projected(visual: Any, pooled: Tensor) -> Tensor:
    """Pooled tokens of one of open_clip's transformers, through its last projection if it has one."""
    return pooled if visual.proj is None else pooled @ visual.proj


def _weighed(tokens: Tensor, shares: Tensor) -> Tensor:
    """The mean [B, width] of tokens [B, n, width] by the shares [B, 1, n] of the one head."""
    return (shares @ tokens)[:, 0]


def _weighed_heads(values: Tensor, shares: Tensor) -> Tensor:
    """The same [B, heads·d] with each head's values in [B, n, heads·d] by its own shares [B, heads, n]."""
    return (shares[:, :, None] @ split(values, shares.shape[1]))[:, :, 0].flatten(1)


def _share_of_the_first(tokens: Tensor) -> Tensor:
    shares = tokens.new_zeros(len(tokens), 1, tokens.shape[1])
    shares[:, :, 0] = 1
    return shares


def _even_shares(tokens: Tensor, left_out: int) -> Tensor:
    counted = tokens.shape[1] - left_out
    even = torch.full((len(tokens), 1, counted), 1 / counted, dtype=tokens.dtype, device=tokens.device)
    return F.pad(even, (left_out, 0))
