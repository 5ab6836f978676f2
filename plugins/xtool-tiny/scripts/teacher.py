"""Distillation: a student image tower follows a trained CNN, as a whole and place by place."""

from __future__ import annotations

from dataclasses import dataclass

import open_clip
import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Targets:
    """What the teacher says about images; unit vectors all."""

    whole: Tensor
    """[B, D], the image's embedding."""
    places: Tensor
    """[B, D, h, w], what each place says by itself: the attention pool's values, as MaskCLIP reads them."""
    features: Tensor
    """[B, C, h, w], the maps of layer 3 at the same places."""


class Teacher:
    """A frozen ModifiedResNet tower, read at every 16 pixels, where a student's patches are."""

    def __init__(self, model: open_clip.CLIP, device: torch.device) -> None:
        self.visual = model.visual.to(device, memory_format=torch.channels_last).eval().requires_grad_(False)
        pool = self.visual.attnpool
        self.channels: int = self.visual.layer4[0].conv1.in_channels
        with torch.no_grad():
            self.values = pool.c_proj.weight @ pool.v_proj.weight
            self.values_bias = pool.c_proj.weight @ pool.v_proj.bias + pool.c_proj.bias

    @torch.no_grad()
    def targets(self, images: Tensor) -> Targets:
        """Look at ``images`` [B, 3, H, W]."""
        features = self.visual.layer3(self.visual.layer2(self.visual.layer1(self.visual.stem(images))))
        whole = self._pool(self.visual.layer4(features))
        places = self._dense(self.visual.layer4[0], features).movedim(1, -1) @ self.values.T + self.values_bias
        return Targets(*(F.normalize(x.float(), dim=1) for x in (whole, places.movedim(-1, 1), features)))

    @staticmethod
    def _dense(block: nn.Module, maps: Tensor) -> Tensor:
        """Layer 4, one bottleneck, without its pooling: one output for each place of layer 3."""
        inner = block.act2(block.bn2(block.conv2(block.act1(block.bn1(block.conv1(maps))))))
        skip = block.downsample[1:](maps)
        out: Tensor = block.act3(block.bn3(block.conv3(inner)) + skip)
        return out

    def _pool(self, maps: Tensor) -> Tensor:
        """The attention pool at any map size: its position embedding is interpolated."""
        pool = self.visual.attnpool
        kept = pool.positional_embedding
        side = round((len(kept) - 1) ** 0.5)
        if maps.shape[-1] == side:
            pooled: Tensor = pool(maps)
            return pooled
        grid = kept[1:].T.reshape(1, -1, side, side)
        grid = F.interpolate(grid, size=maps.shape[-2:], mode="bicubic", align_corners=False)
        try:
            pool.positional_embedding = nn.Parameter(torch.cat([kept[:1], grid.flatten(2)[0].T]), False)
            return pool(maps)
        finally:
            pool.positional_embedding = kept


class Student:
    """A VisionTransformer that learns to say what the teacher says, with what only training needs."""

    def __init__(self, visual: nn.Module, teacher: Teacher, device: torch.device) -> None:
        self.visual = visual
        visual.output_tokens = True  # type: ignore[assignment]  # open_clip's own switch
        blocks = visual.transformer.resblocks  # type: ignore[union-attr]
        self.head = nn.Linear(visual.conv1.out_channels, teacher.channels).to(device)  # type: ignore[union-attr,arg-type]
        self._middle: list[Tensor] = []
        blocks[len(blocks) // 2].register_forward_hook(lambda _, __, tokens: self._middle.append(tokens))  # type: ignore[index,arg-type]

    def lesson(self, images: Tensor, targets: Targets, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Embed ``images`` [B, 3, H, W] with these position embeddings [1 + places, width].

        Returns unit embeddings [B, D] and a scalar loss: one minus the cosine to the teacher's embedding, and the same
        for what each place says by itself, and for the middle block's tokens and the teacher's layer 3.
        """
        weights = {"positional_embedding": positions}
        pooled, tokens = torch.func.functional_call(self.visual, weights, (images,))
        middle = self.head(self._middle.pop()[:, 1:])
        embedding = F.normalize(pooled.float(), dim=-1)
        far = 1 - (embedding * targets.whole).sum(-1).mean()
        return embedding, 8 * far + 4 * _far(tokens @ self.visual.proj, targets.places) + 2 * _far(
            middle, targets.features
        )


def _far(tokens: Tensor, maps: Tensor) -> Tensor:
    """One minus the mean cosine of tokens [B, places, C] and unit maps [B, C, h, w]."""
    return 1 - (F.normalize(tokens.float(), dim=-1) * maps.flatten(2).transpose(1, 2)).sum(-1).mean()


def window(positions: Tensor, side: int, chance: torch.Generator) -> Tensor:
    """Position embeddings [1 + side², width] of a random window of the full grid [1 + n², width].

    An image smaller than the model's input is a piece of one: neighbours stay neighbours whatever the size, and every
    position learns from the first step.
    """
    full = round((len(positions) - 1) ** 0.5)
    y, x = (int(torch.randint(full - side + 1, (), generator=chance, device=chance.device)) for _ in range(2))
    grid = positions[1:].unflatten(0, (full, full))[y : y + side, x : x + side]
    return torch.cat([positions[:1], grid.flatten(0, 1)])
