"""The vision transformer behind ``PlantedViT``, in plain PyTorch, and the weights that make it know the colours.

- The patch embedding writes how much of each colour a patch has;
- the MLP of block 0 turns that into one detector per colour (never negative), patch by patch;
- in block 1 the class token attends, with one head per colour, to where that colour was detected, and takes it over;
- the projection sends what the class token has of each colour to the direction of the colour's text.

Without a class token every patch attends as it does, and the patches are pooled: by their mean, or by an attention that
asks, with one head per colour, for what was detected. Registers, which hold nothing, may stand before the patches.

Two large constant entries of opposite sign keep every layer norm close to the identity.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Literal

import torch
from torch import Tensor, nn

from xtool.testing.planted import CELL, COLOURS, DIMENSIONS, background_direction, colour_directions

Pools = Literal["class token", "mean", "attention"]

WIDTH, HEADS, BLOCKS = 12, 3, 2
SLOT = WIDTH // HEADS
ANCHOR = 8.0
# Where a token keeps what.
COLOUR, DETECTED, EVIDENCE, IS_CLASS, ANCHORS = range(3), range(3, 6), range(6, 9), 9, (10, 11)


class PlantedBlock(nn.Module):
    """Tokens [B, n, WIDTH] to the same: attention, then an MLP, each behind a norm and added to what went in."""

    def __init__(self) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(WIDTH)
        self.attn = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
        self.ln_2 = nn.LayerNorm(WIDTH)
        self.mlp = nn.Sequential(
            OrderedDict(c_fc=nn.Linear(WIDTH, WIDTH), relu=nn.ReLU(), c_proj=nn.Linear(WIDTH, WIDTH))
        )

    def forward(self, tokens: Tensor) -> Tensor:
        normed = self.ln_1(tokens)
        tokens = tokens + self.attn(normed, normed, normed, need_weights=False)[0]
        return tokens + self.mlp(self.ln_2(tokens))  # type: ignore[no-any-return]


class PlantedTransformer(nn.Module):
    """[B, 3, H, W] → [B, D], not normalised: patches of 8×8 pixels through two blocks, and one way to pool them."""

    def __init__(self, grid: tuple[int, int], pooling: Pools = "class token", registers: int = 0) -> None:
        super().__init__()
        self.pooling = pooling
        self.prefix = registers + (pooling == "class token")
        self.conv1 = nn.Conv2d(3, WIDTH, CELL, stride=CELL, bias=False)
        self.prefix_embedding = nn.Parameter(torch.zeros(self.prefix, WIDTH))
        self.positional_embedding = nn.Parameter(torch.zeros(self.prefix + grid[0] * grid[1], WIDTH))
        self.blocks = nn.ModuleList([PlantedBlock() for _ in range(BLOCKS)])
        self.ln_post = nn.LayerNorm(WIDTH)
        if pooling == "attention":
            self.probe = nn.Parameter(torch.zeros(WIDTH))
            self.pool = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
        self.proj = nn.Parameter(torch.zeros(WIDTH, DIMENSIONS))

    def forward(self, pixels: Tensor) -> Tensor:
        patches = self.conv1(pixels).flatten(2).transpose(1, 2)
        first = self.prefix_embedding.expand(len(patches), -1, -1)
        tokens = torch.cat([first, patches], dim=1) + self.positional_embedding
        for block in self.blocks:
            tokens = block(tokens)
        return self.embed(tokens)

    def embed(self, tokens: Tensor) -> Tensor:
        """Tokens [B, n, WIDTH] after the last block to the embedding [B, D]."""
        normed = self.ln_post(tokens)
        if self.pooling == "class token":
            pooled = normed[:, 0]
        elif self.pooling == "mean":
            pooled = normed[:, self.prefix :].mean(dim=1)
        else:
            probe = self.probe.expand(len(tokens), 1, -1)
            pooled = self.pool(probe, normed, normed, need_weights=False)[0][:, 0]
        return pooled @ self.proj  # type: ignore[no-any-return]


def plant(tower: Any) -> None:
    """Set the weights so that the tower knows the colours."""
    for parameter in tower.parameters():
        parameter.zero_()
    # A layer norm divides by a standard deviation that the two anchors dominate; its weight gives that back.
    scale = ANCHOR * (2 / WIDTH) ** 0.5
    blocks = tower.blocks
    for norm in (tower.ln_post, *(part for block in blocks for part in (block.ln_1, block.ln_2))):
        norm.weight.fill_(scale)
    tower.positional_embedding[:, ANCHORS[0]] = ANCHOR
    tower.positional_embedding[:, ANCHORS[1]] = -ANCHOR
    if tower.pooling == "class token":
        tower.prefix_embedding[0, IS_CLASS] = 1.0
    else:  # every patch asks, as a class token does
        tower.positional_embedding[tower.prefix :, IS_CLASS] = 1.0
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
    if tower.pooling == "mean":
        tower.proj[list(DETECTED)] = 4.0 * colour_directions()
    elif tower.pooling == "attention":
        _pool(tower)


def _attend(attention: Any, *, sees: range) -> None:
    """One head per colour: the class token asks for it, patches answer with and hand over how much they have."""
    query, key, value = attention.in_proj_weight.chunk(3)  # views of [WIDTH, WIDTH]
    for colour in range(len(COLOURS)):
        slot = colour * SLOT
        query[slot, IS_CLASS] = 1.5
        key[slot, sees[colour]] = 1.0
        value[slot, sees[colour]] = 1.0
        query[slot + 1, sees[colour]] = 1.0  # says where the colour is, and meets keys that are zero


def _pool(tower: Any) -> None:
    """The probe asks as a class token does, and takes over what was detected, and a little of what patches gathered."""
    _attend(tower.pool, sees=DETECTED)
    tower.probe[IS_CLASS] = 1.0
    value = tower.pool.in_proj_weight.chunk(3)[2]
    for colour in range(len(COLOURS)):
        value[colour * SLOT, EVIDENCE[colour]] = 0.5
        tower.pool.out_proj.weight[EVIDENCE[colour], colour * SLOT] = 1.0
    tower.pool.out_proj.bias[ANCHORS[0]] = ANCHOR
