"""What stands in for an open_clip image tower in passes that nobody differentiates; see :mod:`xtool.loading`.

The twin of a CLIP CNN has its batch norms folded into the convolutions, its weights laid out channels-last, and its
pooling reduced to the one query that is used (:mod:`xtool_clip.pooling`). That of another tower is a copy in the other
dtype.
"""

from __future__ import annotations

import copy
import logging
from dataclasses import dataclass
from functools import cached_property

import torch
from open_clip.modified_resnet import ModifiedResNet
from torch import Tensor, nn

from xtool.loading import Body, InferenceTwin, folded, tile_by_tile
from xtool_clip.masked_cosines import MaskedCosines
from xtool_clip.pooling import OneQueryPool

COMPILED_BATCH = {"cpu": 8, "cuda": 256}
"""Images in a compiled pass, which is made for one size: the tile, or what the mask engine sends to a GPU at once.
Passes of another size are computed without compiling."""

LOG = logging.getLogger("xtool_clip")


def twin_of(tower: nn.Module, dtype: torch.dtype, *, compiled: bool = False) -> InferenceTwin[Body] | None:
    """The twin of ``tower`` in ``dtype``; ``None`` where it would compute what the tower computes."""
    if isinstance(tower, ModifiedResNet):
        return InferenceTwin(tower, lambda like: _FastCNN.of(tower, dtype, like.to(dtype) if compiled else None))
    if compiled:
        LOG.warning("--compile is ignored: only CLIP's own CNNs gain from it, and this is a %s", type(tower).__name__)
    if dtype == torch.float32:
        return None
    return InferenceTwin(tower, lambda _like: _in_dtype(copy.deepcopy(tower).to(dtype), dtype))


class CutCNN:
    """A CLIP CNN up to its last maps, in float32, and how these are scored under masks.

    Args:
        tower: the CNN, of which a copy is made.
    """

    def __init__(self, tower: ModifiedResNet) -> None:
        self._body = folded(_without_pool(tower), torch.float32)
        self._pool = OneQueryPool(tower.attnpool)

    def __call__(self, pixels: Tensor) -> Tensor:
        """The last maps [B, C, h, w] of pixels [B, 3, H, W]."""
        return tile_by_tile(self._body, pixels)

    @cached_property
    def cosines(self) -> MaskedCosines:
        """Of the last maps with texts, under masks."""
        return MaskedCosines(self._pool)


def cut_twin(tower: nn.Module) -> InferenceTwin[CutCNN] | None:
    """The twin of a CLIP CNN in two parts; ``None`` for another tower."""
    if not isinstance(tower, ModifiedResNet):
        return None
    return InferenceTwin(tower, lambda _like: CutCNN(tower))


def _in_dtype(tower: nn.Module, dtype: torch.dtype) -> Body:
    return lambda pixels: tower(pixels.to(dtype))


@dataclass(frozen=True, slots=True)
class _FastCNN:
    dtype: torch.dtype
    body: Body
    compiled: Body | None
    pool: OneQueryPool

    @classmethod
    def of(cls, tower: ModifiedResNet, dtype: torch.dtype, compile_for: Tensor | None) -> _FastCNN:
        body = folded(_without_pool(tower), dtype)
        compiled = None if compile_for is None else _compile(body, compile_for)
        return cls(dtype, body, compiled, OneQueryPool(tower.attnpool))

    def __call__(self, pixels: Tensor) -> Tensor:
        return tile_by_tile(self._embed, pixels.to(self.dtype))

    def _embed(self, pixels: Tensor) -> Tensor:
        fits = len(pixels) == COMPILED_BATCH.get(pixels.device.type)
        body = self.compiled if self.compiled is not None and fits else self.body
        return self.pool(body(pixels))


def _without_pool(tower: ModifiedResNet) -> nn.Module:
    bare: nn.Module = copy.copy(tower)
    bare._modules = {**tower._modules, "attnpool": nn.Identity()}
    return bare


def _compile(body: nn.Module, like: Tensor) -> Body | None:
    """``body`` compiled for full batches of images like these; ``None``, with a warning, where that fails.

    The compiler keeps what it made on disk, so that a second process needs seconds for what took the first a minute.
    """
    compiled: Body = torch.compile(body, dynamic=False, options={"freezing": True})
    batch = COMPILED_BATCH.get(like.device.type, len(like))
    example = like.new_zeros(batch, *like.shape[1:]).contiguous(memory_format=torch.channels_last)
    try:
        compiled(example)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # a compiler has many ways to fail, and every one leaves the way without it
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        LOG.warning("torch.compile failed; going on without it: %s", reason)
        return None
    return compiled
