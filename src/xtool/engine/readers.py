"""Masked class queries: class tokens that read an image under masks, beside its ordinary pass.

Of Li et al., "Adapting CLIP For Phrase Localization Without Further Training" (arXiv 2204.03647). The patch tokens go
through the tower as ever. Beside them go N readers, one for each mask: each begins as the class token that stands
before the first block, and in every block attends to the patch tokens inside its mask and to itself. The patch tokens
never see the readers, so they keep what the whole image taught them, and no block meets a picture unlike any other.

The paper's masks are hard. Soft ones are our extension: log(mask) is added to the scores, for 0 and 1 the same rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from xtool.contracts.layers import Block
from xtool.engine.masked_attention import Own, attend, cell_weights
from xtool.engine.masks import resized_masks
from xtool.loading import half_precision

__all__ = ["read_under_masks"]

READERS = {"cpu": 256}
"""Readers at once, over all images of a batch; else :data:`MANY`. More need more memory and are no faster."""
MANY = 4096


def read_under_masks(
    visual: nn.Module, blocks: Sequence[Block], pixels: Tensor, masks: Tensor, dtype: torch.dtype = torch.float32
) -> Tensor:
    """The class tokens [B, N, width] after the last of ``blocks``, of pixels [B, 3, H, W] under masks [B, N, ·, ·].

    Tokens without a place beside the class token (registers) are seen as far as the mask covers the image. With another
    ``dtype`` than float32 blocks compute in it as :func:`xtool.loading.half_precision` says; what they add up, and what
    is returned, is float32.
    """
    with half_precision(pixels.device, dtype):
        return _read(visual, blocks, pixels, masks)


def _read(visual: nn.Module, blocks: Sequence[Block], pixels: Tensor, masks: Tensor) -> Tensor:
    first, calls = _inputs(visual, blocks, pixels)
    grid = blocks[0].grid
    weights = cell_weights(resized_masks(masks, (grid.height, grid.width)), grid.prefix_tokens - 1)
    readers = first[:, :1].float().expand(-1, masks.shape[1], -1)
    at_once = max(1, READERS.get(first.device.type, MANY) // len(first))
    for block, call in zip(blocks, calls, strict=True):
        heads = block.attention.project(*call)
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


def _inputs(
    visual: nn.Module, blocks: Sequence[Block], pixels: Tensor
) -> tuple[Tensor, list[tuple[Tensor, Tensor | None]]]:
    """Tokens [B, n, width] before the first block, and what each block's attention gets, from one pass."""
    first: list[Tensor] = []
    calls: list[tuple[Tensor, Tensor | None]] = []
    with ExitStack() as hooks:

        def watch(module: nn.Module, see: Any) -> None:
            hooks.callback(module.register_forward_pre_hook(see, with_kwargs=True).remove)

        watch(blocks[0].module, lambda _m, args, _k: first.append(blocks[0].grid.ordered(args[0])))
        for block in blocks:
            arguments = block.attention.arguments
            watch(block.attention.module, lambda _m, args, kwargs, read=arguments: calls.append(read(*args, **kwargs)))
        visual(pixels)
    return first[0], calls
