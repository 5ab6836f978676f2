"""From a photograph to what an encoder takes: fitted, scaled and normalised."""

from __future__ import annotations

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


def to_pixels(fitted: FittedImage, encoder: Encoder) -> Tensor:
    """Normalised pixels [1, 3, H, W], float32, on the encoder's device."""
    info = encoder.info
    colours = torch.tensor(fitted.colours).to(encoder.device)
    scaled = colours.permute(2, 0, 1).float().div(255.0)
    mean = torch.tensor(info.mean, dtype=torch.float32, device=encoder.device)[:, None, None]
    std = torch.tensor(info.std, dtype=torch.float32, device=encoder.device)[:, None, None]
    return ((scaled - mean) / std).unsqueeze(0).contiguous()
