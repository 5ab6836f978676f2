"""The planted encoders that checks run on, and scenes for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from xtool.contracts.protocols import Encoder, FeatureExtractor
from xtool.contracts.specs import Architecture
from xtool.engine.layers import LayerFeatures
from xtool.image.pixels import fit_image, to_pixels
from xtool.testing.planted import CELL, PlantedCNN, planted_image
from xtool.testing.planted_dead_maps import PlantedDeadMaps
from xtool.testing.planted_pool import PlantedPool
from xtool.testing.planted_vit import PlantedViT

SIZE = (48, 80)
"""Height and width; not square, so that rows cannot pass for columns."""

Patches = dict[str, tuple[int, int, int, int]]


@dataclass(frozen=True, slots=True)
class Setup:
    """A planted encoder, and the feature extractor that reads it."""

    name: str
    make: Callable[..., Encoder]
    extractor: Callable[[], FeatureExtractor]

    def encoder(self, seed: int | None = None) -> Encoder:
        """A fresh encoder, planted or with random weights; nothing that was done to another one shows on it."""
        return self.make(SIZE, seed)


SETUPS: dict[Architecture, Setup] = {
    "cnn": Setup("cnn", PlantedCNN, LayerFeatures),
    "vit": Setup("vit", PlantedViT, LayerFeatures),
}
DEAD_MAPS = Setup("cnn-dead-maps", PlantedDeadMaps, LayerFeatures)
POOL = Setup("cnn-pool", PlantedPool, LayerFeatures)


def scene(encoder: Encoder, *images: Patches) -> Tensor:
    """Pixels [B, 3, H, W] of grey images with coloured patches, given in cells: ``{"red": (x0, y0, x1, y1)}``."""
    height, width = encoder.info.input_size
    drawn = []
    for patches in images:
        in_pixels = {colour: _scaled(box) for colour, box in patches.items()}
        image = planted_image(in_pixels, (width, height))
        drawn.append(to_pixels(fit_image(image, encoder.info, "squash"), encoder))
    return torch.cat(drawn)


def two_scenes(encoder: Encoder) -> Tensor:
    """Two images [2, 3, H, W], each with every colour, at different places.

    The patches differ in size: equal ones would have no first principal component.
    """
    return scene(
        encoder,
        {"red": (1, 1, 3, 3), "green": (6, 1, 8, 4), "blue": (3, 4, 5, 5)},
        {"red": (7, 3, 9, 5), "green": (1, 3, 4, 5), "blue": (4, 0, 6, 1)},
    )


def texts(encoder: Encoder, names: Sequence[str] = ("red", "green", "zebra")) -> Tensor:
    """Unit embeddings [T, D]; the zebra is in no image."""
    return encoder.encode_text(list(names))


def _scaled(box: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    x0, y0, x1, y1 = (CELL * side for side in box)
    return x0, y0, x1, y1
