"""Chefer's relevance: attention times its gradient, followed through the blocks.

With y the model's logit, R = 1 before the first block that is looked into, and for each block from there on

    Ā = mean over heads of max(0, ∂y/∂A ⊙ A),    R ← R + Ā R;

the map is the class token's row of R. A mean over tokens takes the mean of the rows. An attention that pools is one
more attention, of a query that is no token: its Ā [1, n] times R.

Source: Chefer et al., Generic Attention-model Explainability, ICCV 2021, arXiv:2103.15679, equations 5, 6 and 10, in
the form that the authors give for CLIP.
"""

from __future__ import annotations

import torch
from torch import Tensor

from xtool.plugin import Encoder, Saliency, TokenStream, UsageError
from xtool_vit.config import CheferConfig
from xtool_vit.gradients import cosines, differentiable, differentiable_stream, gradients_of, leaf


class Chefer:
    """One forward pass, the blocks from ``start_layer`` on once more, and back through them for each text."""

    def __init__(self, config: CheferConfig) -> None:
        self.config = config

    def explain(self, encoder: Encoder, pixels: Tensor, text: Tensor) -> Saliency:
        """See :meth:`xtool.plugin.SaliencyMethod.explain`.

        Raises :class:`xtool.plugin.UsageError` for a ``start_layer`` that the encoder does not have.
        """
        with differentiable():
            stream = differentiable_stream(encoder, pixels)
            attention, shares, embedding = _run_from(self._start(stream, encoder), stream)
            scores = [encoder.info.logit_scale * cosine for cosine in cosines(embedding, text)]
            pooled = [shares] if stream.pooling.kind == "attention" else []
            maps = [
                _followed(attention, shares.detach(), gradients)
                for gradients in gradients_of(scores, attention + pooled)
            ]
        return Saliency(stream.patches(torch.stack(maps, dim=1)).float(), present=None)

    def _start(self, stream: TokenStream, encoder: Encoder) -> int:
        count, start = len(stream.blocks), self.config.start_layer
        if not -count <= start < count:
            raise UsageError(
                f"chefer, option start_layer={start}: {encoder.info.name} has blocks 0 to {count - 1}; "
                f"-1 to {-count} count from the end"
            )
        return range(count)[start]


def _run_from(start: int, stream: TokenStream) -> tuple[list[Tensor], Tensor, Tensor]:
    """The attention [B, heads, n, n] of each block from ``start`` on, the pool's shares [B, heads, n], the embedding.

    Each depends on those before it, and the embedding on all, in one graph that begins at the first attention.
    """
    tokens = stream.into(start)
    attention: list[Tensor] = []
    for index in range(start, len(stream.blocks)):
        block, heads = stream.blocks[index], stream.heads(index, tokens)
        weights = block.attention.weights(heads)
        if not attention:
            weights, tokens = leaf(weights), tokens.detach()
        attention.append(weights)
        tokens = block.output(tokens, heads, weights @ heads.values)
    shares = stream.pooling.shares(tokens)
    return attention, shares, stream.pooling.embed_shared(tokens, shares)


def _followed(attention: list[Tensor], shares: Tensor, gradients: tuple[Tensor, ...]) -> Tensor:
    """[B, n]: what the embedding owes each token that came into the first of the blocks."""
    relevance = torch.eye(shares.shape[-1], device=shares.device)
    for weights, gradient in zip(attention, gradients, strict=False):
        relevance = relevance + (weights.detach() * gradient).clamp(min=0).mean(dim=1) @ relevance
    if len(gradients) > len(attention):
        shares = (shares * gradients[-1]).clamp(min=0)
    return (shares.mean(dim=1, keepdim=True) @ relevance)[:, 0]
