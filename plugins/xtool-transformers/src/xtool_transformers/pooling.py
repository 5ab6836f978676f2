"""How Hugging Face's image transformers pool their tokens: by the class token, or by the question of a learnt probe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from xtool.plugin import Pooling
from xtool_transformers.blocks import joined, split

__all__ = ["Probe", "class_token_pooling", "probe_pooling"]


def class_token_pooling(norm: Callable[[Tensor], Tensor], projection: Callable[[Tensor], Tensor]) -> Pooling:
    """Of CLIP and BLIP. The norm is the class token's alone: ``last_hidden_state`` of CLIP has not been through it."""

    def embed_each(tokens: Tensor) -> Tensor:
        return projection(norm(tokens))

    def shares(tokens: Tensor) -> Tensor:
        first = tokens.new_zeros(len(tokens), 1, tokens.shape[1])
        first[:, :, 0] = 1
        return first

    return Pooling(
        "class token",
        embed=lambda tokens: embed_each(tokens[:, 0]),
        embed_each=embed_each,
        shares=shares,
        embed_shared=lambda tokens, shares: projection((shares @ norm(tokens))[:, 0]),
    )


@dataclass(frozen=True, slots=True)
class Probe:
    """SigLIP's pooling head, taken apart: one query, keys and values of all tokens, an output with a residual MLP."""

    norm: Callable[[Tensor], Tensor]
    """Of all tokens, before the head."""
    head: Any

    @property
    def scale(self) -> float:
        """Factor on the products of query and keys."""
        return float(self.head.attention.head_dim**-0.5)

    @property
    def query(self) -> Tensor:
        """[1, heads, 1, d]."""
        return self._projected(self.head.probe, 0)

    def keys(self, tokens: Tensor) -> Tensor:
        """[B, heads, n, d] of tokens [B, n, width] after the last block."""
        return self._projected(self.norm(tokens), 1)

    def values(self, tokens: Tensor) -> Tensor:
        """[B, heads, n, d] of tokens [B, n, width] after the last block."""
        return self._projected(self.norm(tokens), 2)

    def answer(self, found: Tensor) -> Tensor:
        """The embedding [..., D] of what the heads took, side by side [..., width]."""
        pooled = self.head.attention.out_proj(found)
        embedded: Tensor = pooled + self.head.mlp(self.head.layernorm(pooled))
        return embedded

    def _projected(self, tokens: Tensor, part: int) -> Tensor:
        attention = self.head.attention
        weight, bias = attention.in_proj_weight.chunk(3)[part], attention.in_proj_bias.chunk(3)[part]
        return split(F.linear(tokens, weight, bias), attention.num_heads)


def probe_pooling(probe: Probe) -> Pooling:
    """Of SigLIP."""

    def embed(tokens: Tensor) -> Tensor:
        embedded: Tensor = probe.head(probe.norm(tokens))
        return embedded

    def embed_each(tokens: Tensor) -> Tensor:
        # With one token to ask, the probe gets that token's value.
        return probe.answer(joined(probe.values(tokens)))

    def shares(tokens: Tensor) -> Tensor:
        return (probe.query @ probe.keys(tokens).transpose(-2, -1) * probe.scale).softmax(dim=-1)[:, :, 0]

    def embed_shared(tokens: Tensor, shares: Tensor) -> Tensor:
        return probe.answer(joined(shares[:, :, None] @ probe.values(tokens))[:, 0])

    return Pooling("attention", embed, embed_each, shares, embed_shared)
