"""Grad-ECLIP, image side: the values of the patches, weighted by what the last attention's output needs.

With g_j = ∂cos/∂o_j, o_j the output of the last attention at token j, v_i the value of patch i, and q, k the queries
and keys, all with the heads side by side,

    λ_ji = cos(q_j, k_i), scaled to [0, 1] over patches i,    map_i = max(0, Σ_j λ_ji · (g_j · v_i)).

The paper has a class token, the only j whose output still reaches the embedding; where tokens are pooled in another
way, all do, and all are summed. The paper's code computes the last attention with one head of full width, which is
not quite the model; ``heads=model`` keeps the model's own.

Source: Zhao et al., Gradient-based Visual Explanation for Transformer-based CLIP, ICML 2024.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from xtool.plugin import Encoder, Heads, Saliency, TokenStream
from xtool_vit.config import GradECLIPConfig
from xtool_vit.gradients import cosines, differentiable, differentiable_stream, gradients_of, leaf


class GradECLIP:
    """One forward pass, and for each text a backward pass through the end of the last block."""

    def __init__(self, config: GradECLIPConfig) -> None:
        self.config = config

    def explain(self, encoder: Encoder, pixels: Tensor, text: Tensor) -> Saliency:
        """See :meth:`xtool.plugin.SaliencyMethod.explain`."""
        with differentiable():
            stream = differentiable_stream(encoder, pixels)
            block = stream.blocks[-1]
            with torch.no_grad():
                heads = stream.heads(-1)
                queries, keys, values = (_joined(part) for part in (heads.queries, heads.keys, heads.values))
                if self.config.heads == "one":
                    weights = (queries @ keys.transpose(1, 2) * queries.shape[2] ** -0.5).softmax(dim=-1)
                    attended = _split(weights @ values, heads)
                else:
                    attended = block.attention.weights(heads) @ heads.values
            attended = leaf(attended)
            scores = cosines(stream.pooling.embed(block.output(stream.into(-1), heads, attended)), text)
            alike = _alike(stream, queries, keys)
            maps = [
                ((_joined(gradient) @ values.transpose(1, 2)) * alike).sum(dim=1)
                for (gradient,) in gradients_of(scores, [attended])
            ]
        return Saliency(stream.patches(torch.stack(maps, dim=1)).float().relu(), present=None)


def _alike(stream: TokenStream, queries: Tensor, keys: Tensor) -> Tensor:
    """λ [B, n, n] in [0, 1], over patches; where all patches are alike it is 0, as for prefix tokens."""
    cosine = F.normalize(queries, dim=-1) @ F.normalize(keys, dim=-1).transpose(1, 2)
    prefix = stream.grid.prefix_tokens
    patches = cosine[:, :, prefix:]
    low, high = patches.amin(dim=2, keepdim=True), patches.amax(dim=2, keepdim=True)
    scaled = (patches - low) / (high - low).clamp(min=torch.finfo(patches.dtype).tiny)
    return F.pad(scaled, (prefix, 0))


def _joined(heads: Tensor) -> Tensor:
    """[B, heads, n, d] to [B, n, heads·d]."""
    return heads.transpose(1, 2).flatten(2)


def _split(tokens: Tensor, heads: Heads) -> Tensor:
    """[B, n, heads·d] to the shape of the values, [B, heads, n, d]."""
    images, count, size, width = heads.values.shape
    return tokens.reshape(images, size, count, width).transpose(1, 2)
