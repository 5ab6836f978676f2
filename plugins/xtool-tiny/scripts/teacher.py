"""Distillation: a student image tower follows a trained CNN, as a whole and place by place."""

from __future__ import annotations

import open_clip
import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Teacher:
    """A frozen ModifiedResNet tower."""

    def __init__(self, model: open_clip.CLIP, device: torch.device) -> None:
        self.visual = model.visual.to(device, memory_format=torch.channels_last).eval().requires_grad_(False)

    def lesson(self, student: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
        """Embed ``images`` [B, 3, H, W] with a VisionTransformer.

        Returns its unit embeddings [B, D] and a scalar loss: one minus the cosine to the teacher's embedding, and the
        same for what each place says by itself (the attention pool's values, as MaskCLIP reads them).
        """
        whole, places = self._embed(images)
        student.output_tokens = True  # type: ignore[assignment]  # open_clip's own switch
        pooled, tokens = student(images)
        embedding = F.normalize(pooled.float(), dim=-1)
        side = round(tokens.shape[1] ** 0.5)
        local = (tokens @ student.proj).float().transpose(1, 2).unflatten(2, (side, side))
        local = F.normalize(F.adaptive_avg_pool2d(local, places.shape[-2:]), dim=1)
        far = 1 - (embedding * whole).sum(-1).mean()
        far_places = 1 - (local * places).sum(1).mean()
        return embedding, 8 * far + 4 * far_places

    @torch.no_grad()
    def _embed(self, images: Tensor) -> tuple[Tensor, Tensor]:
        maps = self.visual.layer4(self.visual.layer3(self.visual.layer2(self.visual.layer1(self.visual.stem(images)))))
        pool = self.visual.attnpool
        values = pool.c_proj(pool.v_proj(maps.flatten(2).transpose(1, 2))).float()
        places = F.normalize(values, dim=-1).transpose(1, 2).unflatten(2, maps.shape[-2:])
        return F.normalize(self._pool(maps).float(), dim=-1), places

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
