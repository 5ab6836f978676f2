"""From a photograph to what an encoder takes: fitted, scaled and normalised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

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
    info, device = encoder.info, encoder.device
    images = [fitted] if isinstance(fitted, FittedImage) else fitted
    colours = torch.from_numpy(np.stack([image.colours for image in images]))
    if device.type == "cuda":  # from pinned memory the copy goes on while the device computes
        colours = colours.pin_memory()
    scaled = colours.to(device, non_blocking=True).permute(0, 3, 1, 2).float().div(255.0)
    mean = torch.tensor(info.mean, dtype=torch.float32, device=device)[:, None, None]
    std = torch.tensor(info.std, dtype=torch.float32, device=device)[:, None, None]
    return ((scaled - mean) / std).contiguous()
