"""Feature extractors that keep every promise but one."""

from __future__ import annotations

from torch.nn import functional as F

from xtool.plugin import FeatureMaps, UsageError


class SoundFeatures:
    def __init__(self, layer=None) -> None:
        self.layer = layer

    def index(self, encoder):
        layer = self.layer or encoder.info.default_layer
        if layer not in encoder.info.layers:
            raise UsageError(f"no layer {layer}")
        return encoder.info.layers.index(layer)

    def extract(self, encoder, pixels) -> FeatureMaps:
        index = self.index(encoder)
        if not hasattr(encoder.visual, "forward_intermediates"):
            raise UsageError("strange tower")
        found = encoder.visual.forward_intermediates(pixels, indices=[index])
        return FeatureMaps(found["image_intermediates"][0], F.normalize(found["image_features"], dim=1))


class TransposedFeatures(SoundFeatures):
    def extract(self, encoder, pixels):
        found = super().extract(encoder, pixels)
        return FeatureMaps(found.maps.transpose(2, 3).contiguous().view(found.maps.shape), found.embedding)


class OtherEmbedding(SoundFeatures):
    def extract(self, encoder, pixels):
        found = super().extract(encoder, pixels)
        return FeatureMaps(found.maps, found.embedding.flip(1))


class AnyLayer(SoundFeatures):
    def index(self, encoder):
        return (
            encoder.info.layers.index(self.layer) if self.layer in encoder.info.layers else len(encoder.info.layers) - 1
        )


class HalfFeatures(SoundFeatures):
    def extract(self, encoder, pixels):
        found = super().extract(encoder, pixels)
        return FeatureMaps(found.maps.half(), found.embedding)
