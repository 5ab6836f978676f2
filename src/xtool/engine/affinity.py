"""Class-aware attention affinity (CAA): a map spread along the attention between patches, for any method's map.

Patches of one object attend to one another. So each value becomes a mean over the patches that its own is alike to, of
those alone that lie where the map already is: the boxes around its high values keep other objects out.

Source: Lin et al., CLIP is Also an Efficient Segmenter (CLIP-ES), CVPR 2023, arXiv:2212.09506, section 3.4.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from xtool.contracts.protocols import Encoder, Saliency, SaliencyMethod
from xtool.engine.transformer import TokenStream, read_stream
from xtool.engine.work import shared

__all__ = ["ClassAware", "affinity_of", "spread"]

BLOCKS = 8
"""Of the last blocks, all of a tower with fewer, the attention is averaged."""
BALANCED = 3
"""How often columns and rows are divided by their sums."""
BOX_LEVEL = 0.4
"""Boxes are drawn around what exceeds this fraction of the map's maximum."""
TOUCHING = np.ones((3, 3))
"""Patches that touch at a corner belong together, as for the contours of the paper's code."""


@dataclass(frozen=True, slots=True)
class ClassAware:
    """A method's maps, spread by :func:`spread` over the encoder's patches: one pass, which methods share."""

    method: SaliencyMethod

    def explain(self, encoder: Encoder, pixels: Tensor, text: Tensor) -> Saliency:
        """See :meth:`xtool.plugin.SaliencyMethod.explain`. The verdict is the method's.

        Raises :class:`xtool.plugin.UsageError` for an encoder whose attention cannot be read.
        """
        saliency = self.method.explain(encoder, pixels, text)
        affinity = shared(
            ("attention affinity",), (encoder.visual, pixels), lambda: affinity_of(read_stream(encoder, pixels))
        )
        grid = encoder.layer(encoder.info.layers[-1]).block.grid
        size = (grid.height, grid.width)
        maps = F.interpolate(saliency.maps.float(), size, mode="bilinear", align_corners=False, antialias=True)
        return replace(saliency, maps=spread(maps, affinity))


@torch.no_grad()
def affinity_of(stream: TokenStream) -> Tensor:
    """[B, h·w, h·w]: how alike the patches are, from the attention of the last eight blocks.

    The mean over heads and blocks, made doubly stochastic by dividing columns and rows by their sums three times,
    symmetric, and multiplied with itself.
    """
    blocks = range(max(0, len(stream.blocks) - BLOCKS), len(stream.blocks))
    attention = torch.stack([stream.attention(block).float().mean(dim=1) for block in blocks]).mean(dim=0)
    prefix = stream.grid.prefix_tokens
    affinity = attention[:, prefix:, prefix:]
    for _ in range(BALANCED):
        affinity = affinity / affinity.sum(dim=1, keepdim=True)
        affinity = affinity / affinity.sum(dim=2, keepdim=True)
    affinity = (affinity + affinity.transpose(1, 2)) / 2
    return affinity @ affinity


def spread(maps: Tensor, affinity: Tensor) -> Tensor:
    """Maps [B, T, h, w] times the affinity [B, h·w, h·w], from within the boxes around their high values.

    A map is measured from its lowest value, so that signed maps have boxes, too; a constant map becomes zero.
    """
    hills = maps - maps.amin(dim=(2, 3), keepdim=True)
    inside = hills * _boxes(hills)
    return (inside.flatten(2) @ affinity.transpose(1, 2)).view_as(maps)


def _boxes(hills: Tensor) -> Tensor:
    """[B, T, h, w]: 1 within a box around connected values above :data:`BOX_LEVEL` of the maximum, else 0."""
    high = (hills > BOX_LEVEL * hills.amax(dim=(2, 3), keepdim=True)).cpu().numpy()
    boxes = np.zeros(high.shape, dtype=np.float32)
    for one, box in zip(high.reshape(-1, *high.shape[2:]), boxes.reshape(-1, *high.shape[2:]), strict=True):
        for rows, columns in ndimage.find_objects(ndimage.label(one, TOUCHING)[0]):
            box[rows, columns] = 1
    return torch.from_numpy(boxes).to(hills)
