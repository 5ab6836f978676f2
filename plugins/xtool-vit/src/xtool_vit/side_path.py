"""A second path through the last blocks: their attention replaced, their feed-forward branches left out.

The ordinary path runs as the model runs it. Each of the last blocks also mixes the values of the *ordinary* tokens in
another way, and what comes out is added up beside it; so patches keep the model's features, and get new company.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from xtool.plugin import Heads, SelfAttention, TokenStream

Attend = Callable[[SelfAttention, Heads], Tensor]
"""The heads' outputs [B, heads, n, d] of a block, from its parts and its queries, keys and values."""


def side_path(stream: TokenStream, blocks: int, attend: Attend) -> Tensor:
    """Tokens [B, n, width] at the end of a second path over the last ``blocks`` blocks, or over all if there are fewer.

    The path starts with the tokens that went into the first of them, and each adds ``residual(merge(attend(...)))``.
    """
    first = max(len(stream.blocks) - blocks, 0)
    beside = stream.into(first)
    for index in range(first, len(stream.blocks)):
        block, heads = stream.blocks[index], stream.heads(index)
        beside = beside + block.residual(block.attention.merge(attend(block.attention, heads), heads))
    return beside
