"""Small configurations and helpers that this plugin's tests share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from xtool.plugin import EncoderOptions
from xtool_clip.encoder import ClipEncoder

TEXT: dict[str, Any] = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
VIT: dict[str, Any] = {"image_size": 32, "patch_size": 8, "width": 48, "head_width": 16, "layers": 3}
CNN: dict[str, Any] = {"image_size": 64, "layers": [1, 2, 1, 1], "width": 8, "head_width": 16}
CPU = EncoderOptions(device="cpu")

Build = Callable[..., ClipEncoder]


def noise(encoder: ClipEncoder, batch: int = 2, seed: int = 0) -> torch.Tensor:
    """Pixels of the encoder's input size."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, 3, *encoder.info.input_size, generator=generator)


def hooks_in(module: torch.nn.Module) -> int:
    """Hooks of any kind on a module and all inside it."""
    names = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return sum(len(getattr(part, name)) for part in module.modules() for name in names)
