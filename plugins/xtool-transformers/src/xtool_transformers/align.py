"""ALIGN's image tower: an EfficientNet whose embedding is the mean of its last maps."""

from __future__ import annotations

import math
from itertools import accumulate
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from xtool.loading import half_precision
from xtool.plugin import Architecture, Encoder, Layer, SpatialMaps, UsageError, hooked, masked_means
from xtool_transformers.tower import ImageTower

__all__ = ["AlignTower"]


class AlignTower(ImageTower):
    """Layers are ``stages.K``, the maps after the last block of stage K. It takes images of any size."""

    architecture: ClassVar[Architecture] = "cnn"

    def __init__(self, vision: Any, input_size: tuple[int, int]) -> None:
        super().__init__(vision, nn.Identity())
        config = vision.config
        self.input_size = input_size
        self.pools_masks = config.pooling_type == "mean"
        blocks = (math.ceil(config.depth_coefficient * repeats) for repeats in config.num_block_repeats)
        self._ends = tuple(end - 1 for end in accumulate(blocks))
        self.layers = tuple(f"stages.{stage}" for stage in range(len(self._ends)))

    def forward(self, pixels: Tensor) -> Tensor:
        # Unlike those of the other towers, its own first layer takes no pixels of another precision.
        weights = self.vision.embeddings.convolution.weight
        embedded: Tensor = self.vision(pixel_values=pixels.to(weights.dtype)).pooler_output
        return embedded

    def describe(self, name: str) -> Layer:
        return Layer(name, self._stage(self.layers.index(name)), SpatialMaps())

    def pooled(self, encoder: Encoder, pixels: Tensor, masks: Tensor) -> Tensor:
        """The mean of the last maps under masks; of no place at all it is zero, which no text is like."""
        if not self.pools_masks:
            raise UsageError("this ALIGN takes the maximum of its last maps, which masks cannot weigh")
        outputs: list[Tensor] = []
        with hooked(self._stage(-1), outputs.append), half_precision(encoder.device, encoder.dtype):
            self(pixels)
        return masked_means(outputs[0].float(), masks)

    @torch.no_grad()
    def settle(self) -> None:
        """Give the batch norms the statistics of noise.

        With those that they begin with, each of many blocks weakens what passes through it, until nothing is left.
        """
        norms = [part for part in self.modules() if isinstance(part, nn.BatchNorm2d)]
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            norm.train().momentum = 1.0  # the last batch is all that counts
        weights = self.vision.embeddings.convolution.weight
        self(torch.randn(2, 3, *self.input_size, device=weights.device))
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.eval().momentum = momentum

    def _stage(self, index: int) -> nn.Module:
        block: nn.Module = self.vision.encoder.blocks[self._ends[index]]
        return block
