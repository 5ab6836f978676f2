"""Image towers for pictures of another size than they were trained with: positions are resized, as open_clip does it.

What is resized is the model with its weights, so that it does not matter where these came from.
"""

from __future__ import annotations

from types import SimpleNamespace

import torch
from open_clip.model import resize_pos_embed
from open_clip.modified_resnet import ModifiedResNet
from open_clip.timm_model import TimmModel
from open_clip.transformer import VisionTransformer
from torch import Tensor, nn

from xtool.plugin import UsageError

__all__ = ["resize_tower"]

RESNET_STRIDE = 32
"""Pixels of the image for one of CLIP's ResNet's last cells, each of which has a position."""


@torch.no_grad()
def resize_tower(visual: nn.Module, name: str, size: int) -> None:
    """Make the image tower of model ``name`` take images of ``size``×``size`` pixels.

    Raises :class:`UsageError` for a size that its patches do not divide, or a tower that takes its own size only.
    """
    if isinstance(visual, ModifiedResNet):
        pool = visual.attnpool
        pool.positional_embedding = _resized(pool.positional_embedding, _cells(name, size, RESNET_STRIDE))
        visual.image_size = size
    elif isinstance(visual, VisionTransformer):
        visual.grid_size = (_cells(name, size, visual.patch_size[0]), _cells(name, size, visual.patch_size[1]))
        visual.positional_embedding = _resized(visual.positional_embedding, visual.grid_size[0], visual.grid_size[1])
        visual.image_size = (size, size)
    elif isinstance(visual, TimmModel):
        _resize_timm(visual, name, size)
    else:
        raise UsageError(f"{name} takes images of its own size only; do not give an input size")


def _resize_timm(visual: TimmModel, name: str, size: int) -> None:
    try:
        visual.set_input_size(size)
        visual(torch.zeros(1, 3, size, size))
    except Exception as error:  # each of timm's towers fails in its own way
        raise UsageError(f"{name} cannot take images of {size}×{size} pixels: {error}") from error


def _cells(name: str, size: int, stride: int) -> int:
    if size % stride:
        raise UsageError(f"the input size of {name} must be a multiple of {stride} pixels, not {size}")
    return size // stride


def _resized(positions: nn.Parameter, height: int, width: int | None = None) -> nn.Parameter:
    """Positions [1 + cells, width] for another grid, the class token's, or the mean's, kept: bicubic, antialiased."""
    state: dict[str, Tensor] = {"visual.positional_embedding": positions.data}
    grid = SimpleNamespace(visual=SimpleNamespace(grid_size=(height, height if width is None else width)))
    resize_pos_embed(state, grid)
    return nn.Parameter(state["visual.positional_embedding"], requires_grad=positions.requires_grad)
