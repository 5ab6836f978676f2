"""``PlantedViT``: a vision transformer with weights set by hand, so that its evidence lies at a known place.

It knows the colours of :class:`xtool.testing.planted.PlantedCNN`, and describes its blocks and its pooling, so that
methods that look into the attention meet what they meet in a real CLIP.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xtool.contracts.layers import Block, Heads, Layer, Pooling, SelfAttention, TokenGrid
from xtool.contracts.protocols import EncoderInfo
from xtool.engine.layers import layer_name
from xtool.testing.planted import CELL, DIMENSIONS, PlantedEncoder
from xtool.testing.planted_transformer import BLOCKS, HEADS, SLOT, PlantedBlock, PlantedTransformer, Pools, plant


class PlantedViT(PlantedEncoder):
    """An :class:`xtool.plugin.Encoder` on a :class:`PlantedTransformer`.

    Args:
        input_size: height and width in pixels, multiples of 8; not square, so that rows are not columns.
        seed: of random weights, ``None`` for the planted ones.
        pooling: how the tokens become one embedding; there is a class token only where it is the embedding.
        registers: how many tokens without a position stand before the patches, after the class token.
    """

    def __init__(
        self,
        input_size: tuple[int, int] = (48, 80),
        seed: int | None = None,
        *,
        pooling: Pools = "class token",
        registers: int = 0,
    ) -> None:
        size, prefix = (input_size[0] // CELL, input_size[1] // CELL), registers + (pooling == "class token")
        self._grid = TokenGrid(*size, prefix_tokens=prefix)
        with torch.random.fork_rng(devices=[]):  # its initialisation is overwritten and must not disturb the caller's
            self._visual = PlantedTransformer(size, pooling, registers).eval()
        with torch.no_grad():
            if seed is None:
                plant(self._visual)
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
            gradient_layer=f"{layers[-1]}.ln_1" if pooling == "class token" else layers[-1],
            default_features="planted-tokens",
            weights="planted" if seed is None else f"random (seed {seed})",
            trained=seed is None,
        )

    _visual: PlantedTransformer

    def layer(self, name: str) -> Layer:
        """``blocks.K``, or ``blocks.K.ln_1`` for the normalised input of its attention."""
        norms = {f"{layer}.ln_1": layer for layer in self._info.layers}
        name = layer_name(self._info, name, also=tuple(norms))
        block = self._visual.get_submodule(norms.get(name, name))
        assert isinstance(block, PlantedBlock)
        return Layer(
            name,
            self._visual.get_submodule(name),
            self._grid,
            read_block=lambda: _block(block, self._grid),
            read_pooling=lambda: _pooling(self._visual),
        )


def _heads(attention: nn.MultiheadAttention, tokens: Tensor) -> Heads:
    fused = F.linear(tokens, attention.in_proj_weight, attention.in_proj_bias)
    parts = (part.reshape(*part.shape[:2], HEADS, SLOT).transpose(1, 2) for part in fused.chunk(3, dim=2))
    return Heads(tokens, *parts)


def _block(block: PlantedBlock, grid: TokenGrid) -> Block:
    attention = block.attn
    return Block(
        block,
        grid,
        norm=block.ln_1,
        attention=SelfAttention(
            attention,
            scale=SLOT**-0.5,
            arguments=lambda query, *_, **__: (query, None),
            project=lambda tokens, _: _heads(attention, tokens),
            merge=lambda found, _: attention.out_proj(found.transpose(1, 2).flatten(2)),
        ),
        residual=nn.Identity(),
        feed_forward=lambda tokens: block.mlp(block.ln_2(tokens)),
    )


def _pooling(tower: PlantedTransformer) -> Pooling:
    if tower.pooling == "attention":
        return _attention_pooling(tower)

    def shares(tokens: Tensor) -> Tensor:
        given = tokens.new_zeros(tokens.shape[1])
        if tower.pooling == "class token":
            given[0] = 1.0
        else:
            given[tower.prefix :] = 1 / (tokens.shape[1] - tower.prefix)
        return given.expand(len(tokens), 1, -1)

    def embed_each(tokens: Tensor) -> Tensor:
        return tower.ln_post(tokens) @ tower.proj  # type: ignore[no-any-return]

    return Pooling(
        tower.pooling,
        tower.embed,
        embed_each,
        shares,
        embed_shared=lambda tokens, shares: (shares @ embed_each(tokens))[:, 0],
    )


def _attention_pooling(tower: PlantedTransformer) -> Pooling:
    def heads(tokens: Tensor) -> Heads:
        return _heads(tower.pool, tower.ln_post(tokens))

    def shares(tokens: Tensor) -> Tensor:
        asked = _heads(tower.pool, tower.probe[None, None]).queries
        scores: Tensor = asked @ heads(tokens).keys.transpose(2, 3) * SLOT**-0.5
        return scores.softmax(dim=-1)[:, :, 0]

    def embedded(values: Tensor) -> Tensor:
        """[B, heads, n, d] to [B, n, D]."""
        return tower.pool.out_proj(values.transpose(1, 2).flatten(2)) @ tower.proj  # type: ignore[no-any-return]

    return Pooling(
        "attention",
        tower.embed,
        embed_each=lambda tokens: embedded(heads(tokens).values),
        shares=shares,
        embed_shared=lambda tokens, shares: embedded(shares[:, :, None] @ heads(tokens).values)[:, 0],
    )
