"""pytorch-grad-cam driven the plain way: the oracle of this plugin's tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from cam_encoders import TinyEncoder
from pytorch_grad_cam.utils.image import scale_cam_image
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn
from torch.nn import functional as F


class Scorer(nn.Module):
    """A classifier for pytorch-grad-cam: one output per text."""

    def __init__(self, visual: nn.Module, text: Tensor, normalize: bool) -> None:
        super().__init__()
        self.visual, self.text, self.normalize = visual, text, normalize

    def forward(self, pixels: Tensor) -> Tensor:
        embedding = self.visual(pixels)
        return (F.normalize(embedding, dim=-1) if self.normalize else embedding) @ self.text.T


def module_and_reshape(encoder: TinyEncoder) -> tuple[nn.Module, Callable[[Tensor], Tensor] | None]:
    """pytorch-grad-cam's target layer for ``layer=auto``, written out for the tests' encoders."""
    if encoder.info.architecture == "cnn":
        return encoder.visual.layer4, None
    height, width = encoder.visual.grid_size

    def reshape(tokens: Tensor) -> Tensor:
        return tokens[:, 1:].reshape(len(tokens), height, width, -1).permute(0, 3, 1, 2)

    return encoder.visual.transformer.resblocks[-1].ln_1, reshape


def oracle(
    cam_class: Any,
    encoder: TinyEncoder,
    pixels: Tensor,
    text: Tensor,
    normalize: bool = True,
    module: nn.Module | None = None,
    **options: Any,
) -> np.ndarray:
    """What pytorch-grad-cam shows, one image and one text at a time: [B, T, H, W], scaled to [0, 1]."""
    target, reshape = module_and_reshape(encoder)
    found = np.zeros((len(pixels), len(text), *pixels.shape[-2:]), dtype=np.float32)
    with cam_class(Scorer(encoder.visual, text, normalize), [module or target], reshape, **options) as cam:
        for image in range(len(pixels)):
            for column in range(len(text)):
                found[image, column] = cam(pixels[image : image + 1], [ClassifierOutputTarget(column)])[0]
    encoder.visual.zero_grad()
    return found


def as_shown(maps: Tensor, pixels: Tensor) -> np.ndarray:
    """Raw maps [B, T, h, w] the way pytorch-grad-cam shows its own: resized to the image and scaled twice."""
    size = (pixels.shape[-1], pixels.shape[-2])
    return np.stack([scale_cam_image(scale_cam_image(image, size)) for image in maps.numpy()])
