"""What open_clip's image towers look like inside: their layers, their token grid, their class token.

The one place that knows the three kinds of tower (ModifiedResNet, VisionTransformer, TimmModel) apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from open_clip.modified_resnet import ModifiedResNet
from open_clip.timm_model import TimmModel
from open_clip.transformer import VisionTransformer
from torch import nn

from xtool.plugin import Architecture, SetupError, UsageError


@dataclass(frozen=True, slots=True)
class Tower:
    """The layout of an image tower."""

    architecture: Architecture
    layers: tuple[str, ...]
    """In the order of ``forward_intermediates``'s indices."""
    patch_size: int | None


@dataclass(frozen=True, slots=True)
class TokenGrid:
    """How a ViT lays its tokens out: some prefix tokens, then the patches row by row."""

    height: int
    width: int
    prefix: int
    """Tokens before the patches (class token, registers)."""


def describe(visual: nn.Module) -> Tower:
    """Read the layout of an open_clip image tower.

    Raises :class:`xtool.plugin.SetupError` for a tower that gives no intermediate features.
    """
    if isinstance(visual, ModifiedResNet):
        return Tower("cnn", ("stem", "layer1", "layer2", "layer3", "layer4"), None)
    if isinstance(visual, VisionTransformer):
        return Tower("vit", _block_names(len(visual.transformer.resblocks)), visual.patch_size[0])
    if isinstance(visual, TimmModel) and hasattr(visual.trunk, "forward_intermediates"):
        return _describe_timm(visual)
    raise SetupError(f"the image tower {type(visual).__name__} gives no intermediate features; xtool cannot use it")


def input_size(visual: nn.Module) -> tuple[int, int]:
    """Height and width of the model input in pixels; open_clip keeps one number for square CNNs."""
    size = visual.image_size
    if isinstance(size, int):
        return size, size
    height, width = size  # type: ignore[misc]
    return int(height), int(width)


def block(visual: nn.Module, index: int) -> nn.Module:
    """The ViT block number ``index``. Raises :class:`xtool.plugin.UsageError` where there are no such blocks."""
    if isinstance(visual, VisionTransformer):
        return visual.transformer.resblocks[index]  # type: ignore[no-any-return]
    if isinstance(visual, TimmModel) and _is_timm_vit(visual.trunk):
        return visual.trunk.blocks[index]  # type: ignore[no-any-return]
    raise UsageError(f"{type(visual).__name__} has no transformer blocks that xtool-clip can look into")


def token_grid(visual: nn.Module) -> TokenGrid:
    """The token grid of a ViT. Raises :class:`xtool.plugin.UsageError` for another tower."""
    if isinstance(visual, VisionTransformer):
        height, width = visual.grid_size
        return TokenGrid(height, width, prefix=1)
    if isinstance(visual, TimmModel) and _is_timm_vit(visual.trunk):
        height, width = visual.trunk.patch_embed.grid_size
        return TokenGrid(height, width, prefix=visual.trunk.num_prefix_tokens)
    raise UsageError(f"{type(visual).__name__} has no token grid")


def why_no_class_attention(visual: nn.Module) -> str | None:
    """Why the attention of the class token says nothing about the embedding; ``None`` where it does.

    Only a tower that pools by its class token sends the image's content through that token's attention.
    """
    if isinstance(visual, VisionTransformer):
        if visual.attn_pool is not None:
            return "it pools all tokens by a separate attention layer, not by its class token"
        return None if visual.pool_type == "tok" else f"it pools its tokens by {visual.pool_type!r}"
    if isinstance(visual, TimmModel) and _is_timm_vit(visual.trunk):
        if getattr(visual.trunk, "cls_token", None) is None:
            return "it has no class token"
        pool = visual.trunk.global_pool
        return None if pool == "token" else f"it pools its tokens by {pool!r}, not by its class token"
    return "it is not a vision transformer that xtool-clip can look into"


def _describe_timm(visual: nn.Module) -> Tower:
    trunk: Any = visual.trunk
    if _is_timm_vit(trunk):
        patch_size = input_size(visual)[0] // trunk.patch_embed.grid_size[0]
        return Tower("vit", _block_names(len(trunk.blocks)), patch_size)
    # Hierarchical towers (ConvNeXt, FastViT, Swin) give maps that shrink from stage to stage, as a CNN's do.
    return Tower("cnn", tuple(stage["module"] for stage in trunk.feature_info), None)


def _is_timm_vit(trunk: nn.Module) -> bool:
    return hasattr(trunk, "blocks") and hasattr(getattr(trunk, "patch_embed", None), "grid_size")


def _block_names(count: int) -> tuple[str, ...]:
    return tuple(f"blocks.{index}" for index in range(count))
