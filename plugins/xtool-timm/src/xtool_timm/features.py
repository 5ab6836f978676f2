"""Feature maps of a timm classifier."""

from __future__ import annotations

from torch import Tensor

from xtool.plugin import Encoder, FeatureMaps, UsageError
from xtool_timm.tower import ClassifierTower

__all__ = ["Spatial", "classifier_tower", "read_layer"]


class Spatial:
    """Output of a stage [B, C, h, w].

    Args:
        layer: a name from ``encoder.info.layers``; ``None`` for the last, which is pooled and classified.
    """

    def __init__(self, layer: str | None = None) -> None:
        self.layer = layer

    def extract(self, encoder: Encoder, pixels: Tensor) -> FeatureMaps:
        """Run the image tower once on pixels [B, 3, H, W].

        Raises :class:`UsageError` for another plugin's encoder or an unknown layer.
        """
        return read_layer(encoder, pixels, self.layer or encoder.info.default_layer)


def read_layer(encoder: Encoder, pixels: Tensor, layer: str) -> FeatureMaps:
    """Maps of a layer and the image embedding, from one pass."""
    tower = classifier_tower(encoder)
    if layer not in tower.layers:
        raise UsageError(f"{encoder.info.name} has no layer {layer!r}; it has: {', '.join(tower.layers)}")
    seen: list[Tensor] = []
    handle = tower.get_submodule(layer).register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    try:
        embedding = encoder.encode_image(pixels)
    finally:
        handle.remove()
    return FeatureMaps(seen[0].float(), embedding)


def classifier_tower(encoder: Encoder) -> ClassifierTower:
    """The encoder's tower. Raises :class:`UsageError` where it is another plugin's."""
    tower = encoder.visual
    if not isinstance(tower, ClassifierTower):
        raise UsageError(f"{encoder.info.name} is no timm classifier; this needs one, for example timm-resnet50")
    return tower
