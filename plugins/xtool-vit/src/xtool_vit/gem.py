"""GEM: on a side path, patches gather from those with alike queries, keys or values."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from xtool.plugin import Encoder, Heads, Saliency, SelfAttention, read_stream
from xtool_vit.config import GemConfig
from xtool_vit.directions import cosine_maps, directions, to_saliency
from xtool_vit.side_path import side_path


class Gem:
    """The cosine of each patch with the text on a side path with self–self attention, the mean of three.

    Source: Bousselham et al. 2024, Grounding Everything, arXiv:2312.00878.
    """

    def __init__(self, config: GemConfig) -> None:
        self.config = config

    @torch.no_grad()
    def explain(self, encoder: Encoder, pixels: Tensor, text: Tensor) -> Saliency:
        """See :meth:`xtool.plugin.SaliencyMethod.explain`."""
        stream = read_stream(encoder, pixels)
        tokens = side_path(stream, self.config.depth - 1, self._attend)
        towards = directions(encoder, stream.embedding, text, self.config.common)
        return to_saliency(cosine_maps(stream, stream.pooling.embed_each(tokens), towards), self.config)

    def _attend(self, _: SelfAttention, heads: Heads) -> Tensor:
        sharpness = inverse_temperature(heads)
        outputs = [
            self_self_attention(each, heads.values, sharpness, self.config.iterations)
            for each in (heads.queries, heads.keys, heads.values)
        ]
        return torch.stack(outputs).mean(dim=0)


def inverse_temperature(heads: Heads) -> Tensor:
    """[B, 1, 1, 1]: the mean length of the tokens that went into the attention, over the root of a head's width."""
    lengths: Tensor = heads.tokens.norm(dim=-1).mean(dim=1) * heads.values.shape[-1] ** -0.5
    return lengths[:, None, None, None]


def self_self_attention(projected: Tensor, values: Tensor, sharpness: Tensor, iterations: int) -> Tensor:
    """What tokens gather from those with an alike projection [B, heads, n, d]: the same shape, from the values.

    Before, the projections themselves are mixed so, ``iterations`` times, which groups them.
    """
    projected = F.normalize(projected, dim=-1)
    for _ in range(iterations):
        projected = F.normalize(_alike(projected, sharpness) @ projected, dim=-1)
    return _alike(projected, sharpness) @ values


def _alike(projected: Tensor, sharpness: Tensor) -> Tensor:
    return (sharpness * projected @ projected.transpose(-2, -1)).softmax(dim=-1)
