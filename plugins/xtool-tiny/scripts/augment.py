"""Normalising, flipping and masking of training images; nothing here knows where an object is."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from torch import Tensor

MASKED = 0.25
"""Share of images that a smooth random mask dims, as score methods do at test time."""


def prepare(pixels: Tensor, chance: torch.Generator) -> Tensor:
    """uint8 [B, 3, H, W] → normalised float32 of the same shape: flipped, tinted and, some of them, masked."""
    images = pixels.float().div_(255)
    if torch.rand((), generator=chance, device=pixels.device) < 0.5:
        images = images.flip(-1)
    tint = 1 + 0.08 * torch.randn((len(images), 3, 1, 1), generator=chance, device=images.device)
    mean, std = (images.new_tensor(value).view(3, 1, 1) for value in (OPENAI_DATASET_MEAN, OPENAI_DATASET_STD))
    images = (images * tint - mean) / std
    count = round(MASKED * len(images))
    images[:count] *= _masks(count, images.shape[-1], chance, images.device)
    return images.contiguous(memory_format=torch.channels_last)


def _masks(count: int, size: int, chance: torch.Generator, device: torch.device) -> Tensor:
    """Smooth masks [count, 1, size, size] in 0–1; they keep more than they hide, so that labels mostly stay true."""
    coarse = torch.rand((count, 1, 5, 5), generator=chance, device=device) * 2.2 - 0.4
    return F.interpolate(coarse, size=(size, size), mode="bilinear", align_corners=True).clamp_(0, 1)
