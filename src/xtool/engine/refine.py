"""What any method's map can be refined by: the mirrored image, the attention between patches, the picture's colours.

Each wraps a method and is asked for by options that every method has (:class:`xtool.plugin.MethodConfig`). The passes
and the time they take are the method's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from xtool.contracts.config import MethodConfig
from xtool.contracts.protocols import Encoder, EncoderInfo, Saliency, SaliencyMethod
from xtool.engine.affinity import ClassAware
from xtool.engine.work import shared
from xtool.errors import UsageError

__all__ = ["Mirrored", "PixelAdaptive", "pixel_adaptive", "refined"]

ITERATIONS = 10
DILATIONS = (1, 2, 4, 8, 12, 24)
"""In pixels of an input of about 448 px (Araslanov and Roth's setting); scaled to the side that is refined."""
SIDE = 448
CELL = 4
"""Refined maps have one cell for this many input pixels in each direction: small enough to keep in a record."""


def refined(method: SaliencyMethod, config: MethodConfig, encoder: EncoderInfo) -> SaliencyMethod:
    """The method with the refinements that its options ask for.

    First the mean with the mirrored image's map, then along the attention, last to the edges in the picture.

    Raises :class:`xtool.plugin.UsageError` for a refinement by attention on an encoder that has none.
    """
    asked = (config.refine or "").split("+")
    if "caa" in asked and encoder.architecture != "vit":
        raise UsageError(
            f"refine={config.refine} spreads a map along attention between patches, and {encoder.name} is a "
            f"{encoder.architecture}, which has none; refine=pamr works on every encoder"
        )
    if config.flip:
        method = Mirrored(method)
    if "caa" in asked:
        method = ClassAware(method)
    return PixelAdaptive(method) if "pamr" in asked else method


@dataclass(frozen=True, slots=True)
class Mirrored:
    """The mean of a method's maps for the image and for its mirror image, turned back: twice the passes."""

    method: SaliencyMethod

    def explain(self, encoder: Encoder, pixels: Tensor, text: Tensor) -> Saliency:
        """See :meth:`xtool.plugin.SaliencyMethod.explain`. The verdict is that of the image as it is."""
        plain = self.method.explain(encoder, pixels, text)
        # The very same mirrored pixels for every method, so that they share its passes, too.
        flipped = shared(("mirrored",), (pixels,), lambda: pixels.flip(-1).contiguous())
        mirror = self.method.explain(encoder, flipped, text)
        return replace(plain, maps=(plain.maps + mirror.maps.flip(-1)) / 2)


@dataclass(frozen=True, slots=True)
class PixelAdaptive:
    """A method's maps, aligned with the edges in the picture by :func:`pixel_adaptive`: no further pass."""

    method: SaliencyMethod

    def explain(self, encoder: Encoder, pixels: Tensor, text: Tensor) -> Saliency:
        """See :meth:`xtool.plugin.SaliencyMethod.explain`."""
        saliency = self.method.explain(encoder, pixels, text)
        height, width = (max(side // CELL, 1) for side in pixels.shape[-2:])
        small = F.adaptive_avg_pool2d(pixels.float(), (height, width))
        maps = F.interpolate(saliency.maps.float(), (height, width), mode="bilinear", align_corners=False)
        return replace(saliency, maps=pixel_adaptive(maps, small))


def pixel_adaptive(maps: Tensor, image: Tensor, iterations: int = ITERATIONS) -> Tensor:
    """Pixel-adaptive mask refinement (PAMR): each value becomes a mean of those of like-coloured neighbours.

    A neighbour's weight is the softmax, over the eight neighbours at each dilation, of
    −mean over colours |difference| / (1e-8 + 0.1 · local standard deviation).

    Args:
        maps: [B, T, h, w].
        image: [B, 3, h, w] the picture at the same size, in any scale.
        iterations: how often the maps are averaged.

    Source: Araslanov and Roth, Single-Stage Semantic Segmentation from Image Labels, CVPR 2020.
    """
    height, width = image.shape[-2:]
    longest = max(height, width)
    dilations = sorted({max(1, round(dilation * longest / SIDE)) for dilation in DILATIONS})
    neighbours = torch.cat([_neighbours(image, dilation) for dilation in dilations], dim=2)  # [B, 3, 8·n, h, w]
    spread = torch.cat([neighbours, image[:, :, None]], dim=2).std(dim=2, keepdim=True)
    distance = (neighbours - image[:, :, None]).abs() / (1e-8 + 0.1 * spread)
    weights = (-distance.mean(dim=1, keepdim=True)).softmax(dim=2)  # [B, 1, 8·n, h, w]
    # Weights sum to 1 only up to rounding: measured from its lowest value, a map without a hill stays without one.
    lowest = maps.amin(dim=(2, 3), keepdim=True)
    maps = maps - lowest
    for _ in range(iterations):
        around = torch.cat([_neighbours(maps, dilation) for dilation in dilations], dim=2)
        maps = (weights * around).sum(dim=2)
    return maps + lowest


def _neighbours(values: Tensor, dilation: int) -> Tensor:
    """The eight neighbours [B, C, 8, h, w] at a distance; the border repeats the last row or column."""
    height, width = values.shape[-2:]
    padded = F.pad(values, (dilation,) * 4, mode="replicate")
    return torch.stack(
        [
            padded[..., dilation + y : dilation + y + height, dilation + x : dilation + x + width]
            for y in (-dilation, 0, dilation)
            for x in (-dilation, 0, dilation)
            if (y, x) != (0, 0)
        ],
        dim=2,
    )
