"""The stages of a CNN."""

from __future__ import annotations

from torch import Tensor

from xtool.plugin import Encoder, FeatureMaps
from xtool_clip.features.intermediates import read_intermediate
from xtool_clip.features.layers import check_pixels, layer_index


class Spatial:
    """Output of a CNN stage [B, C, h, w], after its last activation: OpenAI's ``layer4`` is the default.

    Args:
        layer: a name from ``encoder.info.layers``; ``None`` for the encoder's default.
    """

    def __init__(self, layer: str | None = None) -> None:
        self.layer = layer

    def extract(self, encoder: Encoder, pixels: Tensor) -> FeatureMaps:
        """Run the image tower once on pixels [B, 3, H, W].

        Raises :class:`xtool.plugin.UsageError` for a ViT or an unknown layer.
        """
        index = layer_index(encoder, self.layer, features="spatial", architecture="cnn")
        check_pixels(encoder, pixels)
        return read_intermediate(encoder, pixels, index)
