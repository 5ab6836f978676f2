"""CLIP Surgery: patches gather from those with alike values, and what all texts share is taken out of the map."""

from __future__ import annotations

import torch
from torch import Tensor

from xtool.plugin import Encoder, Heads, Saliency, SelfAttention, read_stream
from xtool_vit.config import SurgeryConfig
from xtool_vit.directions import cosine_maps, directions, to_saliency
from xtool_vit.side_path import side_path


class Surgery:
    """The cosine of each patch on a side path with value–value attention, less what every text shows.

    Source: Li et al. 2023, CLIP Surgery, arXiv:2304.05653.
    """

    def __init__(self, config: SurgeryConfig) -> None:
        self.config = config

    @torch.no_grad()
    def explain(self, encoder: Encoder, pixels: Tensor, text: Tensor) -> Saliency:
        """See :meth:`xtool.plugin.SaliencyMethod.explain`."""
        stream = read_stream(encoder, pixels)
        tokens = side_path(stream, self.config.blocks, value_attention)
        towards = directions(encoder, stream.embedding, text, self.config.common)
        return to_saliency(cosine_maps(stream, stream.pooling.embed_each(tokens), towards), self.config)


def value_attention(attention: SelfAttention, heads: Heads) -> Tensor:
    """softmax(scale · v vᵀ) v: [B, heads, n, d]."""
    values = heads.values
    return (values @ values.transpose(-2, -1) * attention.scale).softmax(dim=-1) @ values
