"""PRS: the image embedding as a sum over blocks, heads and the tokens that they read.

A transformer adds up what its blocks write, and its end is linear once the last norm's standard deviation is taken as
it is. So each head's reading of each token has a share in the cosine with a text, with its sign, and the shares add up
to the cosine.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from xtool.plugin import Encoder, Heads, Saliency, TokenStream, UsageError, read_stream
from xtool_vit.config import PrsConfig
from xtool_vit.directions import directions, to_saliency
from xtool_vit.frozen import Frozen, plain, shares_of


class Prs:
    """What attention reads from each patch and writes into the embedding, in the direction of the text.

    Source: Gandelsman et al. 2024, arXiv:2310.05916, where the mean over the classes of the data set
    is subtracted.
    """

    def __init__(self, config: PrsConfig) -> None:
        self.config = config

    @torch.no_grad()
    def explain(self, encoder: Encoder, pixels: Tensor, text: Tensor) -> Saliency:
        """See :meth:`xtool.plugin.SaliencyMethod.explain`."""
        stream = read_stream(encoder, pixels)
        towards = directions(encoder, stream.embedding, text, self.config.common)
        attention = decompose(stream, towards).attention
        blocks = attention.shape[1] if self.config.blocks is None else self.config.blocks
        maps = stream.patches(attention[:, -blocks:].sum(dim=(1, 3)).transpose(1, 2))
        return to_saliency(maps, self.config)


@dataclass(frozen=True, slots=True)
class Decomposition:
    """Terms whose sum is the image embedding, of unit length, each by its product with K directions.

    L blocks, n tokens, H heads. In a tower without a class token the terms are those of the tokens that are pooled,
    with the pool's shares of them taken as they are.
    """

    attention: Tensor
    """[B, L, n, H, K]: what a head reads from a token and writes; the output bias is spread evenly over n and H."""
    feed_forward: Tensor
    """[B, L, K]: what the block's second branch writes."""
    initial: Tensor
    """[B, K]: what was there before the first block: the class token with its position."""
    rest: Tensor
    """[B, K]: what no block writes: biases of the end of the tower, and the second branch of a pool that has one."""

    @property
    def total(self) -> Tensor:
        """[B, K]: the sum of all terms, the embedding's product with each direction."""
        written = self.attention.sum(dim=(1, 2, 3)) + self.feed_forward.sum(dim=1)
        return written + self.initial + self.rest


def decompose(stream: TokenStream, towards: Tensor) -> Decomposition:
    """Every term of the image embedding, in K directions.

    Args:
        stream: of B images, :func:`xtool.plugin.read_stream`.
        towards: [K, D] such as text embeddings, or the unit vectors ``torch.eye(D)`` for the terms themselves; or
            [B, K, D].

    Raises:
        UsageError: the blocks differ in their number of heads.
    """
    towards = towards.expand(len(stream.embedding), -1, -1) if towards.ndim == 2 else towards
    with torch.inference_mode(False), torch.enable_grad(), Frozen():
        wanted, total = _wanted(stream, plain(towards))
        with torch.no_grad():
            read = stream.pooling.shares(stream.tokens[-1]).sum(dim=(0, 1)) != 0
        wanted = wanted[:, :, read]
        terms = [_block_terms(stream, block, read, wanted) for block in range(len(stream.blocks))]
        initial = _product(wanted, plain(stream.tokens[0])[:, read])
    if len({attention.shape[2] for attention, _ in terms}) > 1:
        raise UsageError("the blocks of this encoder differ in their number of heads, and prs cannot stack their terms")
    attention, feed_forward = (torch.stack(part, dim=1).detach().float() for part in zip(*terms, strict=True))
    rest = total - attention.sum(dim=(1, 2, 3)) - feed_forward.sum(dim=1) - initial
    return Decomposition(attention, feed_forward, initial.detach().float(), rest.detach().float())


def _wanted(stream: TokenStream, towards: Tensor) -> tuple[Tensor, Tensor]:
    """What each token after the last block counts towards each direction [K, B, n, width], and the sum [B, K]."""
    tokens = plain(stream.tokens[-1]).detach().requires_grad_()
    shares = stream.pooling.shares(tokens).detach()
    embedded = stream.pooling.embed_shared(tokens, shares)
    length = embedded.detach().norm(dim=-1)
    unit = (towards / length[:, None, None]).to(embedded).transpose(0, 1)
    return shares_of(embedded, tokens, unit), (embedded * unit).sum(dim=-1).T


def _block_terms(stream: TokenStream, index: int, read: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """What the heads [B, n, H, K] and the second branch [B, K] of a block write into the tokens that are ``read``."""
    block = stream.blocks[index]
    with torch.no_grad():
        heads = stream.heads(index)
        weights = block.attention.weights(heads)[:, :, read]
        values, attended = plain(heads.values), plain(weights @ heads.values)
    attended.requires_grad_()
    own = Heads(*(plain(part) for part in (heads.tokens[:, read], *_of_tokens(heads, read))))
    written = block.residual(block.attention.merge(attended, own))
    through = shares_of(written, attended, wanted)  # [K, B, H, r, d]
    terms = torch.einsum("kbhnd,bhnd->bnhk", plain(weights).transpose(-2, -1) @ through, values)
    bias = _product(wanted, written) - terms.sum(dim=(1, 2))
    terms = terms + (bias / (terms.shape[1] * terms.shape[2]))[:, None, None]
    after, before = (plain(stream.tokens[place])[:, read] for place in (index + 1, index))
    return terms, _product(wanted, after - before - written)


def _of_tokens(heads: Heads, read: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return heads.queries[:, :, read], heads.keys[:, :, read], heads.values[:, :, read]


def _product(wanted: Tensor, tokens: Tensor) -> Tensor:
    """[B, K] from [K, B, r, width] and [B, r, width]."""
    return torch.einsum("kbrw,brw->bk", wanted, tokens)
