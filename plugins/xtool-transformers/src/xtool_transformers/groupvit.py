"""GroupViT's image tower: patch tokens that are put into groups, and groups into larger ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from xtool.plugin import Architecture, Encoder, Layer, UsageError
from xtool_transformers.tower import ImageTower

__all__ = ["GroupVitTower"]


@dataclass(frozen=True, slots=True)
class PatchesFirst:
    """Tokens [B, n, C]: the patches row by row, then others. See :class:`xtool.plugin.Layout`."""

    height: int
    width: int

    def maps(self, output: Tensor) -> Tensor:
        patches = self._split(output)[0]
        return patches.transpose(1, 2).reshape(len(output), -1, self.height, self.width)

    def restored(self, maps: Tensor, output: Tensor) -> Tensor:
        tokens = output.clone()
        self._split(tokens)[0][:] = maps.flatten(2).transpose(1, 2)
        return tokens

    def prefix(self, output: Tensor) -> Tensor:
        """The tokens without a place, which here come last."""
        return self._split(output)[1]

    def channels(self, output: Tensor) -> Tensor:
        self._split(output)
        return output.transpose(1, 2)

    def _split(self, output: Tensor) -> tuple[Tensor, Tensor]:
        patches = self.height * self.width
        if output.ndim != 3 or output.shape[1] < patches:
            raise ValueError(f"where {self.height}×{self.width} patch tokens and others are expected")
        return output[:, :patches], output[:, patches:]


class GroupVitTower(ImageTower):
    """Layers are ``blocks.K``, the blocks of the first stage: later ones have groups, which lie nowhere.

    A block also carries the group tokens, and the embedding is a mean of groups, so there is neither a transformer
    whose blocks could be run again nor a pooling of patches.
    """

    architecture: ClassVar[Architecture] = "vit"

    def __init__(self, vision: Any, projection: nn.Module, input_size: tuple[int, int]) -> None:
        super().__init__(vision, projection)
        patches = vision.embeddings.patch_embeddings
        own = (int(patches.image_size[0]), int(patches.image_size[1]))
        if input_size != own:
            raise UsageError(f"GroupViT takes images of {own[0]}×{own[1]} pixels only; do not give an input size")
        self.input_size = own
        self.patch_size = int(patches.patch_size[0])
        self.layout = PatchesFirst(own[0] // self.patch_size, own[1] // self.patch_size)
        self.layers = tuple(f"blocks.{index}" for index in range(len(self.blocks)))

    @property
    def blocks(self) -> Any:
        """transformers' blocks of the first stage."""
        return self.vision.encoder.stages[0].layers

    def forward(self, pixels: Tensor) -> Tensor:
        weights = self.vision.embeddings.position_embeddings
        embedded: Tensor = self.projection(self.vision(pixel_values=pixels.to(weights.dtype)).pooler_output)
        return embedded

    def describe(self, name: str) -> Layer:
        return Layer(name, self.blocks[self.layers.index(name)], self.layout, self._refuse, self._refuse)

    def pooled(self, encoder: Encoder, pixels: Tensor, masks: Tensor) -> Tensor:
        """Refused: groups are made of the whole image before they are pooled."""
        raise UsageError("GroupViT pools groups of patches, which masks of places cannot weigh; mask the pixels")

    def _refuse(self) -> Any:
        raise UsageError(
            "GroupViT puts its tokens into groups on their way, so it cannot be taken apart as a plain transformer; "
            "use features 'hf-tokens' and methods that need no attention"
        )
