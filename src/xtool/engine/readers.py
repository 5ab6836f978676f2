"""Masked class queries: class tokens that read an image under masks, beside its ordinary pass.

Of Li et al., "Adapting CLIP For Phrase Localization Without Further Training" (arXiv 2204.03647). The patch tokens go
through the tower as ever. Beside them go N readers, one for each mask: each begins as the class token that stands
before the first block, and in every block attends to the patch tokens inside its mask and to itself. The patch tokens
never see the readers, so they keep what the whole image taught them, and no block meets a picture unlike any other.

The paper's masks are hard. Soft ones are our extension: log(mask) is added to the scores, for 0 and 1 the same rule.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from xtool.engine.masked_attention import Own, attend, cell_weights
from xtool.engine.masks import resized_masks
from xtool.engine.transformer import read_stream
from xtool.loading import half_precision

if TYPE_CHECKING:
    from xtool.contracts.layers import Block
    from xtool.contracts.protocols import Encoder

__all__ = ["read_under_masks"]

READERS = {"cpu": 256}
"""Readers at once, over all images of a batch; else :data:`MANY`. More need more memory and are no faster."""
MANY = 4096


def read_under_masks(encoder: Encoder, pixels: Tensor, masks: Tensor) -> Tensor:
    """The class tokens [B, N, width] after the last block, of pixels [B, 3, H, W] under masks [B, N, ·, ·]; float32.

    Tokens without a place beside the class token (registers) are seen as far as the mask covers the image. The pass is
    shared with whoever else reads the tokens of the same pixels. It, and what blocks do to these class tokens, is
    computed in the encoder's dtype (:func:`xtool.loading.half_precision`); the sums of their branches are float32.

    Raises:
        UsageError: the encoder is not a transformer whose blocks it can describe.
    """
    stream = read_stream(encoder, pixels)
    grid = stream.grid
    weights = cell_weights(resized_masks(masks, (grid.height, grid.width)), grid.prefix_tokens - 1)
    readers = stream.tokens[0][:, :1].expand(-1, masks.shape[1], -1)
    at_once = max(1, READERS.get(pixels.device.type, MANY) // len(pixels))
    with half_precision(encoder.device, encoder.dtype):
        for index, block in enumerate(stream.blocks):
            heads = stream.heads(index)
            keys, values = heads.keys[:, :, 1:], heads.values[:, :, 1:]
            parts = zip(torch.split(readers, at_once, dim=1), torch.split(weights, at_once, dim=1), strict=True)
            readers = torch.cat([_step(block, part, keys, values, seen) for part, seen in parts], dim=1)
    return readers


def _step(block: Block, readers: Tensor, keys: Tensor, values: Tensor, seen: Tensor) -> Tensor:
    """The block's own step, for readers [B, N, width] that see keys and values of the others as far as ``seen``."""
    attention = block.attention
    heads = attention.project(block.norm(readers), None)  # a class token has no position, and is never rotated
    found = attend(heads.queries, keys, values, seen, attention.scale, Own(heads.keys, heads.values))
    between = readers + block.residual(attention.merge(found, heads))
    return between + block.feed_forward(between)
