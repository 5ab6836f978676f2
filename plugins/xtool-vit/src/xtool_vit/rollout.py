"""Attention as it is, and multiplied through the blocks: the baselines of every paper. Neither looks at the text."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from xtool.plugin import Encoder, Saliency, TokenStream, UsageError, read_stream
from xtool_vit.config import RawAttentionConfig, RolloutConfig


class RawAttention:
    """What the embedding takes from each patch in the last attention, mean over heads.

    Of a class token, its attention in the last block; of an attention pool, the pool's own; of a mean over tokens, the
    mean of their attention in the last block.
    """

    def __init__(self, config: RawAttentionConfig) -> None:
        self.config = config

    @torch.no_grad()
    def explain(self, encoder: Encoder, pixels: Tensor, text: Tensor) -> Saliency:
        """See :meth:`xtool.plugin.SaliencyMethod.explain`. Every text gets the same map."""
        stream = read_stream(encoder, pixels)
        taken = pool_shares(stream)
        if stream.pooling.kind != "attention":
            taken = (taken[:, None] @ stream.attention(-1).mean(dim=1))[:, 0]
        return _same_for_all(stream, taken, text)


class Rollout:
    """The share of each patch in the embedding if tokens mixed by attention and skip connections alone.

    Each block is (A + I) / 2 with A the heads' mean (rows sum to 1); the blocks are multiplied from the last to the
    first, and the pooling's shares from the left (Abnar and Zuidema 2020, equation 1).
    """

    def __init__(self, config: RolloutConfig) -> None:
        self.config = config

    @torch.no_grad()
    def explain(self, encoder: Encoder, pixels: Tensor, text: Tensor) -> Saliency:
        """See :meth:`xtool.plugin.SaliencyMethod.explain`. Every text gets the same map.

        Raises :class:`xtool.plugin.UsageError` for a ``start`` beyond the last block.
        """
        stream, config = read_stream(encoder, pixels), self.config
        if config.start >= len(stream.blocks):
            raise UsageError(
                f"rollout, option start={config.start}: {encoder.info.name} has blocks 0 to {len(stream.blocks) - 1}"
            )
        taken = pool_shares(stream)[:, None]
        for block in range(len(stream.blocks) - 1, config.start - 1, -1):
            attention = _without_least(_fused(stream.attention(block), config.heads), config.discard)
            mixing = attention + torch.eye(attention.shape[-1], device=attention.device)
            taken = taken @ (mixing / mixing.sum(dim=-1, keepdim=True))
        return _same_for_all(stream, taken[:, 0], text)


def pool_shares(stream: TokenStream) -> Tensor:
    """[B, n]: the share of each token after the last block in the embedding, mean over the pool's heads."""
    return stream.pooling.shares(stream.tokens[-1]).mean(dim=1)


def _fused(attention: Tensor, way: Literal["mean", "max", "min"]) -> Tensor:
    """The heads [B, heads, n, n] as one [B, n, n]."""
    if way == "mean":
        return attention.mean(dim=1)
    return attention.amax(dim=1) if way == "max" else attention.amin(dim=1)


def _without_least(attention: Tensor, fraction: float) -> Tensor:
    """Attention [B, n, n] with that fraction of its smallest values set to zero, but for those to the first token."""
    count = int(attention[0].numel() * fraction)
    if count == 0:
        return attention
    flat = attention.flatten(1)
    least = flat.topk(count, dim=1, largest=False).indices
    kept = torch.ones_like(flat).scatter_(1, least, 0.0).view_as(attention)
    kept[:, :, 0] = 1
    return attention * kept


def _same_for_all(stream: TokenStream, taken: Tensor, text: Tensor) -> Saliency:
    maps = stream.patches(taken.float())
    return Saliency(maps[:, None].repeat(1, text.shape[-2], 1, 1), present=None)
