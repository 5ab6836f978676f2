"""LeGrad: how much each block's attention to a patch raises the match of that block's own answer with the text.

For each block l, with A_l its attention and X_l its output tokens,

    z_l = unit(project(mean over all tokens of X_l)),    s_l = t · z_l,    map_l = mean over heads and queries of
    max(0, ∂s_l/∂A_l), without the columns of prefix tokens,

and the map is the sum over blocks. Where an attention pools the tokens, z_l is what the tower's own pool makes of X_l,
and the gradient is with respect to the pool's attention. (The authors' code leaves out the norm before SigLIP's pool,
and the one after CoCa's; here the pool is the model's.)

Source: Bousselham et al., LeGrad: An Explainability Method for Vision Transformers via Feature Formation Sensitivity,
ICCV 2025, arXiv:2404.03214.
"""

from __future__ import annotations

import torch
from torch import Tensor

from xtool.plugin import Encoder, Saliency, TokenStream, UsageError
from xtool_vit.config import LeGradConfig
from xtool_vit.gradients import cosines, differentiable, differentiable_stream, gradients_of, leaf

NOTHING = "a photo of a"
"""A text without a thing: what is high for it is no answer to any text."""
SINKS = 0.8


class LeGrad:
    """One forward pass, and for each text a backward pass through single blocks."""

    def __init__(self, config: LeGradConfig) -> None:
        self.config = config

    def explain(self, encoder: Encoder, pixels: Tensor, text: Tensor) -> Saliency:
        """See :meth:`xtool.plugin.SaliencyMethod.explain`.

        Raises :class:`xtool.plugin.UsageError` for more blocks than the encoder has.
        """
        with differentiable():
            stream = differentiable_stream(encoder, pixels)
            layers = self._layers(stream, encoder)
            maps = _maps(stream, text, layers)
            level = self.sink_level(stream)
            if level is not None:
                nothing = _maps(stream, encoder.encode_text([NOTHING]), layers)
                maps = maps.masked_fill(_scaled(nothing) > level, 0.0)
        return Saliency(maps, present=None)

    def _layers(self, stream: TokenStream, encoder: Encoder) -> range:
        count, asked = len(stream.blocks), self.config.layers
        if asked is not None and asked > count:
            raise UsageError(f"legrad, option layers={asked}: {encoder.info.name} has {count} blocks")
        return range(0 if asked is None else count - asked, count)

    def sink_level(self, stream: TokenStream) -> float | None:
        """Above which fraction of an empty text's map a place counts as nothing; ``None`` where none does."""
        if self.config.sinks != "auto":
            return self.config.sinks
        return SINKS if stream.pooling.kind == "attention" and stream.grid.prefix_tokens == 0 else None


def _maps(stream: TokenStream, text: Tensor, layers: range) -> Tensor:
    """[B, T, h, w]: the sum over blocks."""
    layer_map = _pool_map if stream.pooling.kind == "attention" else _block_map
    total = layer_map(stream, text, layers[0])
    for layer in layers[1:]:
        total = total + layer_map(stream, text, layer)
    return stream.patches(total)


def _block_map(stream: TokenStream, text: Tensor, layer: int) -> Tensor:
    """[B, T, n]: by the attention [B, heads, n, n] of one block."""
    block, tokens = stream.blocks[layer], stream.into(layer)
    with torch.no_grad():
        heads = stream.heads(layer)
    attention = leaf(block.attention.weights(heads))
    mean = block.output(tokens, heads, attention @ heads.values).mean(dim=1, keepdim=True)
    scores = cosines(stream.pooling.embed_each(mean)[:, 0], text)
    return torch.stack(
        [gradient.float().clamp(min=0).mean(dim=(1, 2)) for (gradient,) in gradients_of(scores, [attention])], dim=1
    )


def _pool_map(stream: TokenStream, text: Tensor, layer: int) -> Tensor:
    """[B, T, n]: by the attention [B, heads, n] of the pool on the block's output."""
    pooling, tokens = stream.pooling, stream.tokens[layer + 1]
    shares = leaf(pooling.shares(tokens))
    scores = cosines(pooling.embed_shared(tokens, shares), text)
    return torch.stack(
        [gradient.float().clamp(min=0).mean(dim=1) for (gradient,) in gradients_of(scores, [shares])], dim=1
    )


def _scaled(maps: Tensor) -> Tensor:
    """Each map [h, w] to [0, 1]; a constant one is zero."""
    low, high = maps.amin(dim=(2, 3), keepdim=True), maps.amax(dim=(2, 3), keepdim=True)
    return (maps - low) / (high - low).clamp(min=torch.finfo(maps.dtype).tiny)
