"""Feature extractors that keep every promise but one."""

from __future__ import annotations

from xtool.plugin import FeatureMaps, LayerFeatures


class SoundFeatures(LayerFeatures):
    pass


class TransposedFeatures(SoundFeatures):
    def extract(self, encoder, pixels):
        found = super().extract(encoder, pixels)
        return FeatureMaps(found.maps.transpose(2, 3).contiguous().view(found.maps.shape), found.embedding)


class OtherEmbedding(SoundFeatures):
    def extract(self, encoder, pixels):
        found = super().extract(encoder, pixels)
        return FeatureMaps(found.maps, found.embedding.flip(1))


class AnyLayer(SoundFeatures):
    def extract(self, encoder, pixels):
        self.layer = self.layer if self.layer in encoder.info.layers else None
        return super().extract(encoder, pixels)


class HalfFeatures(SoundFeatures):
    def extract(self, encoder, pixels):
        found = super().extract(encoder, pixels)
        return FeatureMaps(found.maps.half(), found.embedding)
