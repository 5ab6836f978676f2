"""A faster twin of an image tower, for passes that nobody differentiates.

Score-based methods spend nearly all their time in thousands of such passes. The twin computes them in a dtype of its
own, bfloat16 for example, while the tower stays as it is, float32, for the one pass that gives feature maps and
gradients: what a rounded feature map costs in accuracy is more than what it saves in time.

The twin of a CLIP CNN also has its batch norms folded into the convolutions (Jacob et al., CVPR 2018, eq. 14; exact up
to rounding), its weights laid out channels-last, and its pooling reduced to the one query that is used
(:mod:`xtool_clip.pooling`). That of another tower is a copy in the other dtype.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from dataclasses import dataclass

import torch
from open_clip.modified_resnet import ModifiedResNet
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse

from xtool_clip.pooling import OneQueryPool

TILE = {"cpu": 8}
"""Images at once; else as many as come. On a CPU more do not fit its caches and need more memory, and the memory
allocator hands tensors beyond 32 MiB back to the system each time, whose fresh pages cost up to a third of the pass."""

COMPILED_BATCH = {"cpu": 8, "cuda": 256}
"""Images in a compiled pass, which is made for one size: the tile, or what the mask engine sends to a GPU at once.
Passes of another size are computed without compiling."""

LOG = logging.getLogger("xtool_clip")

Body = Callable[[Tensor], Tensor]
"""Pixels [B, 3, H, W] to the last feature maps [B, C, h, w]."""


@dataclass(frozen=True, slots=True)
class _FastCNN:
    body: Body
    compiled: Body | None
    pool: OneQueryPool

    def __call__(self, pixels: Tensor) -> Tensor:
        tiles = torch.split(pixels, TILE.get(pixels.device.type, len(pixels)))
        return torch.cat([self._embed(tile.contiguous(memory_format=torch.channels_last)) for tile in tiles])

    def _embed(self, pixels: Tensor) -> Tensor:
        fits = len(pixels) == COMPILED_BATCH.get(pixels.device.type)
        body = self.compiled if self.compiled is not None and fits else self.body
        return self.pool(body(pixels))


class InferenceTwin:
    """Holds the twin of ``tower`` and makes it anew when the tower's weights have changed."""

    def __init__(self, tower: nn.Module, dtype: torch.dtype, *, compiled: bool = False) -> None:
        self._tower = tower
        self._dtype = dtype
        self._compiled = compiled
        self._twin: Callable[[Tensor], Tensor] | None = None
        self._weights: tuple[tuple[int, int], ...] = ()
        if compiled and not isinstance(tower, ModifiedResNet):
            LOG.warning(
                "--compile is ignored: only CLIP's own CNNs gain from it, and this is a %s", type(tower).__name__
            )

    @property
    def usable(self) -> bool:
        """Whether there is something to gain, and the twin computes what the tower would now: hooks would be missed."""
        return (
            (isinstance(self._tower, ModifiedResNet) or self._dtype != torch.float32)
            and torch.is_inference_mode_enabled()
            and not self._tower.training
            and not next(self._tower.parameters()).is_inference()  # such tensors keep no count of their changes
            and not any(module._forward_hooks or module._forward_pre_hooks for module in self._tower.modules())
        )

    def __call__(self, pixels: Tensor) -> Tensor:
        """What the tower gives for pixels [B, 3, H, W]."""
        pixels = pixels.to(self._dtype)
        weights = tuple((id(tensor), tensor._version) for tensor in self._tower.state_dict(keep_vars=True).values())
        if self._twin is None or weights != self._weights:
            self._twin, self._weights = self._made(like=pixels), weights
        return self._twin(pixels)

    def _made(self, like: Tensor) -> Callable[[Tensor], Tensor]:
        with torch.inference_mode(False), torch.no_grad():
            if not isinstance(self._tower, ModifiedResNet):
                twin: nn.Module = copy.deepcopy(self._tower).to(self._dtype)
                return twin
            body = _folded(self._tower, self._dtype)
        compiled = _compile(body, like) if self._compiled else None
        return _FastCNN(body, compiled, OneQueryPool(self._tower.attnpool))


def _folded(tower: ModifiedResNet, dtype: torch.dtype) -> nn.Module:
    """The tower without its pooling, for inference only."""
    bare = copy.copy(tower)
    bare._modules = {**tower._modules, "attnpool": nn.Identity()}
    # "In place" spares a copy of all weights: tracing already builds new containers around the tower's modules, and
    # only the convolutions in them, each of which has a batch norm, are replaced by new ones.
    body: nn.Module = fuse(bare, inplace=True)
    originals = {id(module) for module in tower.modules()}
    for module in body.modules():
        if isinstance(module, nn.Conv2d) and id(module) not in originals:
            module.to(dtype).to(memory_format=torch.channels_last)
    return body


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
