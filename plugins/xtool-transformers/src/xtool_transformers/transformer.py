"""Image towers that are plain transformers: of CLIP and BLIP, with a class token, and of SigLIP, with a probe."""

from __future__ import annotations

import re
from typing import Any, ClassVar

from torch import Tensor, nn

from xtool.loading import half_precision
from xtool.plugin import (
    Architecture,
    Encoder,
    Layer,
    Pooling,
    TokenGrid,
    UsageError,
    attend,
    cell_weights,
    hooked,
    read_under_masks,
    resized_masks,
)
from xtool_transformers.blocks import joined, read_block
from xtool_transformers.pooling import Probe, class_token_pooling, probe_pooling
from xtool_transformers.tower import ImageTower

__all__ = ["BlipTower", "ClipTower", "SiglipTower"]

BLOCK = re.compile(r"blocks\.(\d+)(\.ln_1)?")


class TransformerTower(ImageTower):
    """Layers are ``blocks.K``, the tokens after block K, and ``blocks.K.ln_1``, the normed input of its attention.

    Args:
        vision: transformers' tower.
        projection: of the pooled token.
        input_size: height and width of images in pixels; for another size than the model's own, transformers resizes
            the positions in each pass.
    """

    architecture: ClassVar[Architecture] = "vit"
    prefix_tokens: ClassVar[int]
    pools_masks = True

    def __init__(self, vision: Any, projection: nn.Module, input_size: tuple[int, int]) -> None:
        super().__init__(vision, projection)
        embeddings = vision.embeddings
        self.input_size = input_size
        self.patch_size = int(embeddings.patch_size)
        height, width = (side // self.patch_size for side in input_size)
        self.grid = TokenGrid(height, width, self.prefix_tokens)
        self.layers = tuple(f"blocks.{index}" for index in range(len(self.blocks)))
        self.also = tuple(f"{layer}.ln_1" for layer in self.layers)
        self._resizes = input_size != (embeddings.image_size, embeddings.image_size)

    @property
    def blocks(self) -> Any:
        """transformers' blocks, from input to output."""
        return self.vision.encoder.layers

    def seen(self, pixels: Tensor) -> Any:
        """What transformers' tower gives for pixels [B, 3, H, W], of any precision."""
        return self.vision(pixel_values=pixels, interpolate_pos_encoding=self._resizes)

    def pooling(self) -> Pooling:
        """How the tokens after the last block become the embedding."""
        raise NotImplementedError

    def describe(self, name: str) -> Layer:
        found = BLOCK.fullmatch(name)
        assert found is not None
        block = self.blocks[int(found[1])]
        module = block.layer_norm1 if found[2] else block
        return Layer(
            name, module, self.grid, read_block=lambda: read_block(block, self.grid), read_pooling=self.pooling
        )


class ClipTower(TransformerTower):
    """The embedding is the class token's, so no patch token has an effect after the last attention."""

    prefix_tokens = 1

    def __init__(self, vision: Any, projection: nn.Module, input_size: tuple[int, int]) -> None:
        super().__init__(vision, projection, input_size)
        self.gradient_layer = self.also[-1]

    def forward(self, pixels: Tensor) -> Tensor:
        embedded: Tensor = self.projection(self.seen(pixels).pooler_output)
        return embedded

    def pooling(self) -> Pooling:
        return class_token_pooling(self.vision.post_layernorm, self.projection)

    def pooled(self, encoder: Encoder, pixels: Tensor, masks: Tensor) -> Tensor:
        """See :func:`xtool.plugin.read_under_masks`."""
        return self.pooling().embed_each(read_under_masks(encoder, pixels, masks))


class BlipTower(ClipTower):
    """Its contrastive half takes the class token after one norm; ``pooler_output`` has been through it twice."""

    def forward(self, pixels: Tensor) -> Tensor:
        embedded: Tensor = self.projection(self.seen(pixels).last_hidden_state[:, 0])
        return embedded


class SiglipTower(TransformerTower):
    """It has no class token and no projection: a learnt probe asks all tokens, in a ``nn.MultiheadAttention``."""

    prefix_tokens = 0

    def __init__(self, vision: Any, input_size: tuple[int, int]) -> None:
        if not hasattr(vision, "head"):
            raise UsageError("a SigLIP without its pooling head (vision_use_head) has no embedding of an image")
        super().__init__(vision, nn.Identity(), input_size)

    def forward(self, pixels: Tensor) -> Tensor:
        embedded: Tensor = self.seen(pixels).pooler_output
        return embedded

    def probe(self) -> Probe:
        """The pooling head and the norm before it."""
        return Probe(self.vision.post_layernorm, self.vision.head)

    def pooling(self) -> Pooling:
        return probe_pooling(self.probe())

    def pooled(self, encoder: Encoder, pixels: Tensor, masks: Tensor) -> Tensor:
        """The probe's attention with its keys under masks; the rest of the head as ever."""
        outputs: list[Tensor] = []
        with hooked(self.blocks[-1], outputs.append), half_precision(encoder.device, encoder.dtype):
            self(pixels)
        tokens = outputs[0].float()
        probe = self.probe()
        seen = cell_weights(resized_masks(masks, (self.grid.height, self.grid.width)), 0)
        keys, values = probe.keys(tokens), probe.values(tokens)
        return probe.answer(joined(attend(probe.query, keys, values, seen, probe.scale)))
