"""What the attention of a transformer block works with, as maps. Other layers are read by ``LayerFeatures``."""

from __future__ import annotations

from typing import ClassVar, Literal

from torch import Tensor

from xtool.plugin import Encoder, FeatureMaps, TokenGrid, UsageError, read_heads


class _Projection:
    """One of the three projections [B, width, h, w], heads side by side.

    Args:
        layer: a name from ``encoder.info.layers``; ``None`` for the encoder's default.
    """

    kind: ClassVar[Literal["queries", "keys", "values"]]

    def __init__(self, layer: str | None = None) -> None:
        self.layer = layer

    def extract(self, encoder: Encoder, pixels: Tensor) -> FeatureMaps:
        """Run the image tower once on pixels [B, 3, H, W].

        Raises :class:`xtool.plugin.UsageError` for a CNN, an unknown layer, or attention that the encoder cannot take
        apart.
        """
        layer = encoder.layer(self.layer or "auto")
        heads, embedding = read_heads(encoder, pixels, layer)
        return FeatureMaps(_as_maps(getattr(heads, self.kind), layer.block.grid), embedding)


class Queries(_Projection):
    """Query vector of each patch in a ViT block, as it meets the keys: normed and rotated where the model does so."""

    kind = "queries"


class Keys(_Projection):
    """Key vector of each patch in a ViT block, as it meets the queries."""

    kind = "keys"


class Values(_Projection):
    """Value vector of each patch in a ViT block."""

    kind = "values"


class ClassAttention:
    """Attention probabilities from the class token to each patch in a ViT block [B, heads, h, w].

    Each is in [0, 1]; a head's map sums to 1 minus what the class token gives to itself (and to other prefix tokens).

    Args:
        layer: a name from ``encoder.info.layers``; ``None`` for the encoder's default.
    """

    def __init__(self, layer: str | None = None) -> None:
        self.layer = layer

    def extract(self, encoder: Encoder, pixels: Tensor) -> FeatureMaps:
        """Run the image tower once on pixels [B, 3, H, W].

        Raises :class:`xtool.plugin.UsageError` for a CNN, an unknown layer, attention that the encoder cannot take
        apart, or a ViT whose embedding does not come from its class token.
        """
        layer = encoder.layer(self.layer or "auto")
        block, pooling = layer.block, layer.pooling.kind
        if pooling != "class token":
            raise UsageError(
                "features 'attention' are the class token's, and say nothing about the embedding of "
                f"{encoder.info.name}, which pools its tokens by their {pooling}; try tokens, queries, keys or values"
            )
        heads, embedding = read_heads(encoder, pixels, layer)
        weights = block.attention.weights(heads)[:, :, 0, block.grid.prefix_tokens :].float()
        return FeatureMaps(weights.reshape(*weights.shape[:2], block.grid.height, block.grid.width), embedding)


def _as_maps(heads: Tensor, grid: TokenGrid) -> Tensor:
    """[B, heads, n, d] to maps [B, heads·d, h, w], float32, without the prefix tokens."""
    patches = heads[:, :, grid.prefix_tokens :].float()
    return patches.transpose(2, 3).reshape(len(patches), -1, grid.height, grid.width)
