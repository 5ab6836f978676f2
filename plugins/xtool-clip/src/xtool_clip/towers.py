"""What kind of image tower an open_clip model has: its architecture, the names of its layers, its input size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from open_clip.modified_resnet import ModifiedResNet
from open_clip.timm_model import TimmModel
from open_clip.transformer import VisionTransformer
from torch import nn

from xtool.plugin import Architecture, SetupError
from xtool_clip.layers import blocks_of, first_norm, is_timm_vit
from xtool_clip.token_pooling import pools_by_class_token


@dataclass(frozen=True, slots=True)
class Tower:
    """The layout of an image tower."""

    architecture: Architecture
    layers: tuple[str, ...]
    """From input to output."""
    patch_size: int | None
    gradient_layer: str | None = None
    """The deepest layer whose patch tokens still reach the embedding, if it is not the last."""


def describe(visual: nn.Module) -> Tower:
    """Read the layout of an open_clip image tower.

    Raises :class:`xtool.plugin.SetupError` for a tower whose layers xtool-clip does not know.
    """
    if isinstance(visual, ModifiedResNet):
        return Tower("cnn", ("stem", "layer1", "layer2", "layer3", "layer4"), None)
    if isinstance(visual, VisionTransformer):
        return _transformer(visual, visual.patch_size[0])
    if isinstance(visual, TimmModel) and is_timm_vit(visual.trunk):
        return _transformer(visual, input_size(visual)[0] // visual.trunk.patch_embed.grid_size[0])
    if isinstance(visual, TimmModel) and hasattr(visual.trunk, "feature_info"):
        # Hierarchical towers (ConvNeXt, FastViT, Swin) give maps that shrink from stage to stage, as a CNN's do.
        trunk: Any = visual.trunk
        return Tower("cnn", tuple(stage["module"] for stage in trunk.feature_info), None)
    raise SetupError(f"the image tower {type(visual).__name__} gives no intermediate features; xtool cannot use it")


def input_size(visual: nn.Module) -> tuple[int, int]:
    """Height and width of the model input in pixels; open_clip keeps one number for square CNNs."""
    size = visual.image_size
    if isinstance(size, int):
        return size, size
    height, width = size  # type: ignore[misc]
    return int(height), int(width)


def _transformer(visual: nn.Module, patch_size: int) -> Tower:
    blocks = blocks_of(visual)
    layers = tuple(f"blocks.{index}" for index in range(len(blocks)))
    return Tower("vit", layers, patch_size, _gradient_layer(visual, blocks, layers))


def _gradient_layer(visual: nn.Module, blocks: list[nn.Module], layers: tuple[str, ...]) -> str | None:
    """A class token reads the patch tokens for the last time in the last block's attention, through its norm, if it has
    one, or else as the block before left them. Other ways to pool read the last block's own output."""
    if not pools_by_class_token(visual):
        return None
    if first_norm(blocks[-1]) is not None:
        return f"{layers[-1]}.ln_1"
    return layers[-2] if len(layers) > 1 else None
