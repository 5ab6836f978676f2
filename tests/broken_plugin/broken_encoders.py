"""Encoders that keep every promise but one, by name."""

from __future__ import annotations

from dataclasses import replace

import torch

from xtool.plugin import SetupError, SpatialMaps
from xtool.testing.planted import PlantedCNN


class Sideways(SpatialMaps):
    def maps(self, output):
        return output.transpose(2, 3)


class NamedCNN(PlantedCNN):
    def __init__(self, name, seed) -> None:
        super().__init__((32, 48), seed)
        self.kind = name
        self._info = replace(self._info, name=name, default_features="sound-features")
        if name == "training":
            self._visual.train()

    def layer(self, name):
        if self.kind == "any-layer-at-all":
            return super().layer("layer1")
        layer = super().layer(name)
        return replace(layer, layout=Sideways()) if self.kind == "sideways" else layer

    def encode_image(self, pixels):
        embedded = super().encode_image(pixels)
        if self.kind == "detached":
            return embedded.detach()
        return 2 * embedded if self.kind == "long-vectors" else embedded


def load(name, options):
    if options.pretrained is not None and name != "takes-any-tag":
        raise SetupError("there are no weights")
    if options.device != "cpu":
        raise SetupError("there is only the CPU")
    seed = int(torch.randint(1000, ())) if name == "ignores-seed" else options.seed
    return NamedCNN(name, seed)
