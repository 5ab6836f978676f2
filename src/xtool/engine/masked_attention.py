"""Attention under masks: each query sees the tokens of an image as far as a mask of its own lets it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Own", "attend", "attend_one", "cell_weights"]


class Own(NamedTuple):
    """A key and a value [B, heads, N, d] that each query has to itself, and always sees."""

    keys: Tensor
    values: Tensor


def attend(queries: Tensor, keys: Tensor, values: Tensor, seen: Tensor, scale: float, own: Own | None = None) -> Tensor:
    """What N queries, each under its mask, take from the n tokens of their image: [B, heads, N, d].

    A weight acts on a token as log(weight) does on its score, so the token counts as that share of itself: 1 leaves
    the attention as it is, 0 takes the token away. A query that sees nothing at all takes zeros.

    Args:
        queries: [B or 1, heads, N or 1, d]; one query is asked under all masks.
        keys: [B, heads, n, d].
        values: [B, heads, n, d].
        seen: [B, N, n] weights in [0, 1].
        scale: factor on the products of queries and keys.
        own: with it nobody builds the N×(n + N) products of all queries with all tokens and each other.
    """
    scores = queries @ keys.transpose(-2, -1) * scale + seen.log()[:, None]
    count = keys.shape[2]
    if own is None:
        blind = ~(seen > 0).any(dim=2)[:, None, :, None]
        return scores.masked_fill(blind, 0.0).softmax(dim=-1).masked_fill(blind, 0.0) @ values
    itself = (queries * own.keys).sum(dim=-1, keepdim=True) * scale
    weights = torch.cat([scores, itself], dim=-1).softmax(dim=-1)
    return weights[..., :count] @ values + weights[..., count:] * own.values


def attend_one(query: Tensor, keys: Tensor, values: Tensor, seen: Tensor, scale: float) -> Tensor:
    """What :func:`attend` gives for one query [B, heads, 1, d] under N masks, with far less work.

    The scores are the same under all masks, so exp(score + log(weight)) is a product of two matrices, and so are the
    sums over tokens: nothing of size N × heads × n is made.
    """
    scores = (query @ keys.transpose(-2, -1)).squeeze(2) * scale  # [B, heads, n]
    strength = (scores - scores.amax(dim=-1, keepdim=True)).exp()
    weighed = (strength[..., None] * values).transpose(1, 2).flatten(2)  # [B, n, heads * d]
    taken = (seen @ weighed).reshape(*seen.shape[:2], keys.shape[1], -1).transpose(1, 2)  # [B, heads, N, d]
    total = (strength @ seen.transpose(1, 2))[..., None]  # [B, heads, N, 1]
    return taken.div_(total.clamp(min=torch.finfo(total.dtype).tiny))  # 0/tiny for a query that sees nothing


def cell_weights(masks: Tensor, others: int) -> Tensor:
    """Weights [B, N, others + h·w] of an image's tokens under masks [B, N, h, w].

    The ``others`` that come first have no place in the image (a class token, registers). They count as much as the
    mask covers of the image, so that their share of the attention stays about what it is without a mask.
    """
    cells = masks.flatten(2)
    return torch.cat([cells.mean(dim=2, keepdim=True).expand(-1, -1, others), cells], dim=2)
