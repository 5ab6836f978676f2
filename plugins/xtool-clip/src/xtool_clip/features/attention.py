"""Where the class token of a ViT looks."""

from __future__ import annotations

from torch import Tensor

from xtool.plugin import Encoder, FeatureMaps, UsageError
from xtool_clip.features.heads import read_heads
from xtool_clip.features.layers import check_pixels, layer_index
from xtool_clip.towers import why_no_class_attention


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

        Raises :class:`xtool.plugin.UsageError` for a CNN, an unknown layer, attention that it cannot look into, or a
        ViT whose embedding does not come from its class token.
        """
        index = layer_index(encoder, self.layer, features="attention", architecture="vit")
        if reason := why_no_class_attention(encoder.visual):
            raise UsageError(
                f"features 'attention' are the class token's, and do not explain {encoder.info.name}: {reason}; "
                "try tokens, queries, keys or values"
            )
        check_pixels(encoder, pixels)
        heads = read_heads(encoder, pixels, index)
        queries, keys, grid = heads.queries.float(), heads.keys.float(), heads.grid
        logits = queries[:, :, :1] @ keys.transpose(-2, -1) * queries.shape[-1] ** -0.5
        patches = logits.softmax(dim=-1)[:, :, 0, grid.prefix :]
        return FeatureMaps(maps=patches.unflatten(-1, (grid.height, grid.width)), embedding=heads.embedding)
