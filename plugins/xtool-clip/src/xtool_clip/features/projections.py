"""The queries, keys and values of a ViT block's patches."""

from __future__ import annotations

from typing import ClassVar, Literal

from torch import Tensor

from xtool.plugin import Encoder, FeatureMaps
from xtool_clip.features.heads import read_heads, to_maps
from xtool_clip.features.layers import check_pixels, layer_index


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

        Raises :class:`xtool.plugin.UsageError` for a CNN, an unknown layer, or attention that it cannot look into.
        """
        index = layer_index(encoder, self.layer, features=self.kind, architecture="vit")
        check_pixels(encoder, pixels)
        heads = read_heads(encoder, pixels, index)
        return FeatureMaps(maps=to_maps(getattr(heads, self.kind), heads.grid), embedding=heads.embedding)


class Queries(_Projection):
    """Query vector of each patch in a ViT block."""

    kind = "queries"


class Keys(_Projection):
    """Key vector of each patch in a ViT block."""

    kind = "keys"


class Values(_Projection):
    """Value vector of each patch in a ViT block."""

    kind = "values"
