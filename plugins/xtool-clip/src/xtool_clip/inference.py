"""What stands in for an open_clip image tower in passes that nobody differentiates; see :mod:`xtool.loading`.

The twin of a CLIP CNN has its batch norms folded into the convolutions, its weights laid out channels-last, and its
pooling reduced to the one query that is used (:mod:`xtool_clip.pooling`). That of another tower is a copy in the other
dtype.
"""

from __future__ import annotations

import copy
import logging
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


class FastCNN:
    """A CLIP CNN for inference, in ``dtype``; what it pools, it pools in float32.

    Args:
        tower: the CNN, of which a copy is made.
        dtype: of the convolutions.
        compile_for: pixels [B, 3, H, W] like those that it will be given, if it is to be compiled.
    """

    def __init__(self, tower: ModifiedResNet, dtype: torch.dtype, compile_for: Tensor | None = None) -> None:
        self._dtype = dtype
        self._body = folded(_without_pool(tower), dtype)
        self._compiled = None if compile_for is None else _compile(self._body, compile_for.to(dtype))
        self._pool = OneQueryPool(tower.attnpool)

    def __call__(self, pixels: Tensor) -> Tensor:
        """Embed pixels [B, 3, H, W] as [B, D] float32, not normalised."""
        return tile_by_tile(lambda part: self._pool(self._run(part)), pixels.to(self._dtype))

    def maps(self, pixels: Tensor) -> Tensor:
        """The last maps [B, C, h, w] of pixels [B, 3, H, W], float32."""
        return tile_by_tile(self._run, pixels.to(self._dtype)).float()

    @cached_property
    def cosines(self) -> MaskedCosines:
        """Of the last maps with texts, under masks."""
        return MaskedCosines(self._pool)

    def _run(self, pixels: Tensor) -> Tensor:
        fits = len(pixels) == COMPILED_BATCH.get(pixels.device.type)
        return (self._compiled if self._compiled is not None and fits else self._body)(pixels)


def cnn_twin(tower: nn.Module, dtype: torch.dtype, *, compiled: bool = False) -> InferenceTwin[FastCNN] | None:
    """The twin of one of CLIP's own CNNs in ``dtype``; ``None`` for another tower."""
    if isinstance(tower, ModifiedResNet):
        return InferenceTwin(tower, lambda like: FastCNN(tower, dtype, like if compiled else None))
    if compiled:
        LOG.warning("--compile is ignored: only CLIP's own CNNs gain from it, and this is a %s", type(tower).__name__)
    return None


def copy_in(tower: nn.Module, dtype: torch.dtype) -> InferenceTwin[Body] | None:
    """The twin of any tower: a copy in ``dtype``; ``None`` where it would compute what the tower computes."""
    if dtype == torch.float32:
        return None
    return InferenceTwin(tower, lambda _like: _in_dtype(copy.deepcopy(tower).to(dtype), dtype))


def _in_dtype(tower: nn.Module, dtype: torch.dtype) -> Body:
    return lambda pixels: tower(pixels.to(dtype))


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
