"""An encoder under test."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from xtool.contracts.protocols import Encoder
from xtool.engine.encoders import load_encoder


@dataclass(frozen=True)
class EncoderSubject:
    """An encoder, loaded on the CPU when the first check needs it."""

    name: str
    pretrained: str | None

    def load(self) -> Encoder:
        return load_encoder(self.name, pretrained=self.pretrained, device="cpu")

    @cached_property
    def encoder(self) -> Encoder:
        return self.load()

    def pixels(self, images: int = 2) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        return torch.randn(images, 3, *self.encoder.info.input_size, generator=generator)
