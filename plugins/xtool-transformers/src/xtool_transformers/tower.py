"""What every image tower of this plugin is: a module from pixels to embeddings that can describe its layers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from torch import Tensor, nn

from xtool.plugin import Architecture, Encoder, Layer

__all__ = ["ImageTower"]


class ImageTower(nn.Module, ABC):
    """The image half of a model: pixels [B, 3, H, W] to embeddings [B, D], not normalised.

    It consists of the model's own modules, so that a hook on either sees every pass.
    """

    architecture: ClassVar[Architecture]
    layers: tuple[str, ...]
    """From input to output."""
    also: tuple[str, ...] = ()
    """Further layers that can be described."""
    input_size: tuple[int, int]
    """Height and width in pixels."""
    patch_size: int | None = None
    gradient_layer: str | None = None
    """The deepest layer whose places all reach the embedding, if it is not the last."""
    pools_masks: bool = False

    def __init__(self, vision: Any, projection: nn.Module) -> None:
        """``vision`` is transformers' tower, and ``projection`` what follows its pooling."""
        super().__init__()
        self.vision = vision
        self.projection = projection

    @abstractmethod
    def forward(self, pixels: Tensor) -> Tensor: ...

    @abstractmethod
    def describe(self, name: str) -> Layer:
        """One of ``layers`` or ``also``."""

    def settle(self) -> None:
        """Make random weights such that something of an image reaches the embedding. Draws random numbers."""

    @abstractmethod
    def pooled(self, encoder: Encoder, pixels: Tensor, masks: Tensor) -> Tensor:
        """Embeddings [B, N, D], not normalised, pooled in float32 under masks [B, N, ·, ·] in [0, 1] after a pass in
        the dtype of the encoder whose tower this is.

        Raises :class:`xtool.plugin.UsageError` where masks cannot act at the pooling.
        """
