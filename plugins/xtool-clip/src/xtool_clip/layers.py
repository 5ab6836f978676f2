"""The layers of open_clip's image towers, described: which module, how its output lies over the image, which block.

Beside the layers of ``encoder.info.layers`` a transformer has ``blocks.K.ln_1``: the normalised input of block K's
attention. It is the deepest tensor of a block whose patch tokens reach a class token.
"""

from __future__ import annotations

import re
from typing import Any

from open_clip.modified_resnet import ModifiedResNet
from open_clip.timm_model import TimmModel
from open_clip.transformer import VisionTransformer
from torch import Tensor, nn

from xtool.plugin import Block, EncoderInfo, Layer, SpatialMaps, TokenGrid, UsageError, layer_name
from xtool_clip.attention import read_attention
from xtool_clip.token_pooling import read_pooling

BLOCK = re.compile(r"blocks\.(\d+)(\.ln_1)?")
NORM_FIRST = {"Block": "timm.models.vision_transformer", "EvaBlock": "timm.models.eva"}
NORM_LAST = {"EvaBlockPostNorm": "timm.models.eva"}


def describe_layer(visual: nn.Module, info: EncoderInfo, name: str) -> Layer:
    """The layer ``name`` (``auto``: the default) of an image tower.

    Raises :class:`xtool.plugin.UsageError` for an unknown layer, or one that is not where the tower says.
    """
    norms = [f"blocks.{index}.ln_1" for index, block in enumerate(blocks_of(visual)) if first_norm(block) is not None]
    name = layer_name(info, name, also=norms)
    if info.architecture == "vit":
        return _token_layer(visual, info, name)
    try:
        return _spatial_layer(visual, name)
    except AttributeError as error:
        raise UsageError(f"{info.name} has no module for its layer {name}: {error}") from error


def blocks_of(visual: nn.Module) -> list[nn.Module]:
    """The transformer blocks of a tower, from input to output; none in a CNN."""
    if isinstance(visual, VisionTransformer):
        return list(visual.transformer.resblocks)
    if isinstance(visual, TimmModel) and is_timm_vit(visual.trunk):
        return list(visual.trunk.blocks)
    return []


def is_timm_vit(trunk: nn.Module) -> bool:
    """Whether a timm model is a plain transformer over patch tokens; those with stages count as CNNs."""
    return hasattr(trunk, "blocks") and hasattr(getattr(trunk, "patch_embed", None), "grid_size")


def first_norm(block: Any) -> nn.Module | None:
    """The norm before a block's attention; ``None`` where a block has none, or is of a kind that nobody has read."""
    name = "norm1" if _is_one_of(block, NORM_FIRST) else "ln_1"
    norm: nn.Module | None = getattr(block, name, None)
    return norm


def token_grid(visual: Any) -> TokenGrid:
    """How the tokens of a vision transformer lie over the image."""
    if isinstance(visual, VisionTransformer):
        height, width = visual.grid_size
        batch_first = bool(getattr(visual.transformer, "batch_first", True))
        return TokenGrid(height, width, prefix_tokens=1, batch_first=batch_first)
    height, width = visual.trunk.patch_embed.grid_size
    return TokenGrid(height, width, prefix_tokens=getattr(visual.trunk, "num_prefix_tokens", 0))


def _token_layer(visual: Any, info: EncoderInfo, name: str) -> Layer:
    found = BLOCK.fullmatch(name)
    assert found is not None
    block, grid = blocks_of(visual)[int(found[1])], token_grid(visual)
    module = first_norm(block) if found[2] else block
    assert module is not None
    return Layer(
        name,
        module,
        grid,
        read_block=lambda: read_block(block, grid, info.name),
        read_pooling=lambda: read_pooling(visual, grid, info.name),
    )


def _spatial_layer(visual: Any, name: str) -> Layer:
    if isinstance(visual, ModifiedResNet):
        # The stem is a method, not a module; average pooling is its last step.
        return Layer(name, visual.get_submodule("avgpool" if name == "stem" else name), SpatialMaps())
    if not isinstance(visual, TimmModel):
        raise UsageError(f"xtool-clip cannot read the image tower {type(visual).__name__}")
    channels_last = getattr(visual.trunk, "output_fmt", "NCHW") == "NHWC"
    return Layer(name, visual.trunk.get_submodule(name), SpatialMaps(channels_last))


def read_block(block: Any, grid: TokenGrid, encoder: str) -> Block:
    """Take a transformer block apart. Raises :class:`xtool.plugin.UsageError` for one of another kind."""
    if hasattr(block, "ln_1"):
        return _open_clip_block(block, grid, encoder)
    if _is_one_of(block, NORM_FIRST):
        return _timm_block(block, grid, encoder)
    if _is_one_of(block, NORM_LAST):
        return _norm_last_block(block, grid, encoder)
    kind = f"{type(block).__module__}.{type(block).__name__}"
    raise UsageError(
        f"queries, keys, values and attention cannot be read from {encoder}: its blocks are {kind}; "
        "use features 'tokens'"
    )


def _open_clip_block(block: Any, grid: TokenGrid, encoder: str) -> Block:
    def residual(tokens: Tensor) -> Tensor:
        normed = block.ln_attn(tokens) if hasattr(block, "ln_attn") else tokens
        scaled: Tensor = block.ls_1(normed)
        return scaled

    def feed_forward(tokens: Tensor) -> Tensor:
        scaled: Tensor = block.ls_2(block.mlp(block.ln_2(tokens)))
        return scaled

    return Block(block, grid, block.ln_1, read_attention(block.attn, grid, encoder), residual, feed_forward)


def _timm_block(block: Any, grid: TokenGrid, encoder: str) -> Block:
    def scaled(tokens: Tensor, number: int) -> Tensor:
        if hasattr(block, f"ls{number}"):
            layer_scaled: Tensor = getattr(block, f"ls{number}")(tokens)
            return layer_scaled
        gamma = getattr(block, f"gamma_{number}", None)
        return tokens if gamma is None else tokens * gamma

    attention = read_attention(block.attn, grid, encoder)
    return Block(
        block,
        grid,
        norm=block.norm1,
        attention=attention,
        residual=lambda tokens: scaled(tokens, 1),
        feed_forward=lambda tokens: scaled(block.mlp(block.norm2(tokens)), 2),
    )


def _norm_last_block(block: Any, grid: TokenGrid, encoder: str) -> Block:
    return Block(
        block,
        grid,
        norm=nn.Identity(),
        attention=read_attention(block.attn, grid, encoder),
        residual=block.norm1,
        feed_forward=lambda tokens: block.norm2(block.mlp(tokens)),
    )


def _is_one_of(block: nn.Module, kinds: dict[str, str]) -> bool:
    return kinds.get(type(block).__name__) == type(block).__module__
