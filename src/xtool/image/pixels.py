"""From a photograph to what an encoder takes: fitted, scaled and normalised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from xtool.image.geometry import Fit, Geometry

if TYPE_CHECKING:
    from PIL import Image

    from xtool.contracts.protocols import Encoder, EncoderInfo


@dataclass(frozen=True, slots=True)
class FittedImage:
    """An image at an encoder's input size, still as 8-bit colours, and how it got there."""

    colours: NDArray[np.uint8]
    """[H, W, 3]."""
    geometry: Geometry


def fit_image(image: Image.Image, info: EncoderInfo, fit: Fit) -> FittedImage:
    """Resize an RGB image to the encoder's input; padding takes the encoder's mean colour."""
    geometry = Geometry.of(image.size, info.input_size, fit)
    red, green, blue = (round(255 * channel) for channel in info.mean)
    return FittedImage(np.asarray(geometry.fit_image(image, fill=(red, green, blue)), dtype=np.uint8), geometry)


def to_pixels(fitted: FittedImage | Sequence[FittedImage], encoder: Encoder) -> Tensor:
    """Normalised pixels [B, 3, H, W] of B images, float32, on the encoder's device."""
    device = encoder.device
    images = [fitted] if isinstance(fitted, FittedImage) else fitted
    colours = torch.from_numpy(np.stack([image.colours for image in images]))
    if device.type == "cuda":  # from pinned memory the copy goes on while the device computes
        colours = colours.pin_memory()
    channels_first = colours.to(device, non_blocking=True).permute(0, 3, 1, 2)
    # In place, as fresh memory for a batch of this size costs more than the arithmetic.
    pixels = channels_first.to(torch.float32, memory_format=torch.contiguous_format).div_(255.0)
    mean, std = _colour_scale(encoder.info, pixels)
    return pixels.sub_(mean).div_(std)


def refitted(pixels: Tensor, of: EncoderInfo, to: EncoderInfo) -> Tensor:
    """The input [B, 3, H, W] of one encoder as that of another, whose size, mean and standard deviation it gets.

    It is resized as a picture is, bicubic and antialiased, whatever its aspect ratio: a place keeps its share of the
    width and of the height. Detail that the first input has lost does not come back.
    """
    if (of.input_size, of.mean, of.std) == (to.input_size, to.mean, to.std):
        return pixels
    mean, std = _colour_scale(of, pixels)
    colours = pixels * std + mean
    if pixels.shape[-2:] != to.input_size:
        colours = F.interpolate(colours, to.input_size, mode="bicubic", antialias=True).clamp(0.0, 1.0)
    mean, std = _colour_scale(to, pixels)
    return (colours - mean) / std


def _colour_scale(info: EncoderInfo, like: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation [3, 1, 1] of the encoder's colours."""
    mean, std = like.new_tensor(info.mean), like.new_tensor(info.std)
    return mean[:, None, None], std[:, None, None]
