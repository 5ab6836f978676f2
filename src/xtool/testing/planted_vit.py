"""``PlantedViT``: open_clip's VisionTransformer with weights set by hand, so that its evidence lies at a known place.

It knows the colours of :class:`xtool.testing.planted.PlantedCNN`. The structure is open_clip's own, so that methods
that hook blocks, read tokens or look into the attention meet what they meet in a real CLIP:

- the patch embedding writes how much of each colour a patch has;
- the MLP of block 0 turns that into one detector per colour (never negative), patch by patch;
- in block 1 the class token attends, with one head per colour, to where that colour was detected, and takes it over;
- the projection sends what the class token has of each colour to the direction of the colour's text.

Two large constant entries of opposite sign keep every layer norm close to the identity.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xtool.contracts.protocols import Encoder, EncoderInfo, FeatureMaps
from xtool.errors import SetupError, UsageError
from xtool.testing.planted import CELL, COLOURS, DIMENSIONS, PlantedEncoder, background_direction, colour_directions

WIDTH, HEADS, BLOCKS = 12, 3, 2
SLOT = WIDTH // HEADS
ANCHOR = 8.0
# Where a token keeps what.
COLOUR, DETECTED, EVIDENCE, IS_CLASS, ANCHORS = range(3), range(3, 6), range(6, 9), 9, (10, 11)


class PlantedViT(PlantedEncoder):
    """An :class:`xtool.plugin.Encoder` on an ``open_clip.transformer.VisionTransformer``.

    Args:
        input_size: height and width in pixels, multiples of 8; not square, so that rows are not columns.
        seed: of random weights, ``None`` for the planted ones.

    Raises :class:`xtool.plugin.SetupError` where open_clip is not installed.
    """

    def __init__(self, input_size: tuple[int, int] = (48, 80), seed: int | None = None) -> None:
        self._visual = _tower(input_size)
        with torch.no_grad():
            if seed is None:
                _plant(self._visual)
            else:
                generator = torch.Generator().manual_seed(seed)
                for parameter in self._visual.parameters():
                    parameter.normal_(generator=generator)
        layers = tuple(f"blocks.{index}" for index in range(BLOCKS))
        self._info = EncoderInfo(
            name="planted-vit",
            architecture="vit",
            input_size=input_size,
            mean=(0.5, 0.5, 0.5),
            std=(0.5, 0.5, 0.5),
            embed_dim=DIMENSIONS,
            patch_size=CELL,
            layers=layers,
            default_layer=layers[-1],
            default_features="planted-tokens",
            weights="planted" if seed is None else f"random (seed {seed})",
            trained=seed is None,
        )


class PlantedTokens:
    """The feature extractor of :class:`PlantedViT`: patch tokens after a block, by open_clip's public call."""

    def __init__(self, layer: str | None = None) -> None:
        self.layer = layer

    def extract(self, encoder: Encoder, pixels: Tensor) -> FeatureMaps:
        layers = encoder.info.layers
        layer = self.layer or encoder.info.default_layer
        if layer not in layers:
            raise UsageError(f"{encoder.info.name} has no layer {layer!r}; it has: {', '.join(layers)}")
        forward: Any = encoder.visual.forward_intermediates
        found = forward(pixels, indices=[layers.index(layer)])
        return FeatureMaps(found["image_intermediates"][0], F.normalize(found["image_features"], dim=1))


def _tower(input_size: tuple[int, int]) -> nn.Module:
    try:
        from open_clip.transformer import VisionTransformer
    except ImportError as error:
        raise SetupError("PlantedViT is built from open_clip: pip install open_clip_torch") from error
    with torch.random.fork_rng(devices=[]):  # its initialisation is overwritten and must not disturb the caller's
        tower: nn.Module = VisionTransformer(
            image_size=input_size,
            patch_size=CELL,
            width=WIDTH,
            layers=BLOCKS,
            heads=HEADS,
            mlp_ratio=1.0,
            output_dim=DIMENSIONS,
            act_layer=nn.ReLU,
            no_ln_pre=True,  # what flows past the blocks is then exactly what was planted: the anchors are constant
        )
    return tower.eval()


def _plant(tower: Any) -> None:
    for parameter in tower.parameters():
        parameter.zero_()
    # A layer norm divides by a standard deviation that the two anchors dominate; its weight gives that back.
    scale = ANCHOR * (2 / WIDTH) ** 0.5
    blocks = tower.transformer.resblocks
    for norm in (tower.ln_post, *(part for block in blocks for part in (block.ln_1, block.ln_2))):
        norm.weight.fill_(scale)
    tower.positional_embedding[:, ANCHORS[0]] = ANCHOR
    tower.positional_embedding[:, ANCHORS[1]] = -ANCHOR
    tower.class_embedding[IS_CLASS] = 1.0
    opponent = 1.5 * torch.eye(3) - 0.5  # a colour, minus half of each other one
    tower.conv1.weight[: len(COLOURS)] = (opponent / CELL**2)[:, :, None, None]

    first, last = blocks
    _attend(first.attn, sees=COLOUR)
    _attend(last.attn, sees=DETECTED)
    for colour in range(len(COLOURS)):
        first.mlp.c_fc.weight[colour, COLOUR[colour]] = 2.0
        first.mlp.c_fc.bias[colour] = -0.6
        first.mlp.c_proj.weight[DETECTED[colour], colour] = 1.0
        last.attn.out_proj.weight[EVIDENCE[colour], colour * SLOT] = 1.0
        tower.proj[EVIDENCE[colour]] = 4.0 * colour_directions()[colour]
    tower.proj[ANCHORS[0]] = background_direction() / ANCHOR


def _attend(attention: Any, *, sees: range) -> None:
    """One head per colour: the class token asks for it, patches answer with and hand over how much they have."""
    query, key, value = attention.in_proj_weight.chunk(3)  # views of [WIDTH, WIDTH]
    for colour in range(len(COLOURS)):
        slot = colour * SLOT
        query[slot, IS_CLASS] = 1.5
        key[slot, sees[colour]] = 1.0
        value[slot, sees[colour]] = 1.0
        query[slot + 1, sees[colour]] = 1.0  # says where the colour is, and meets keys that are zero
