"""When two maps are the same, when they differ, and where a map peaks."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

TOLERANCE = 1e-3
"""Of the largest value: another batch size sums in another order, and a sharp softmax magnifies that."""
HOT = 0.75
"""Of a map's range; what is above counts as its peak."""


def same(one: Tensor, other: Tensor, tolerance: float = TOLERANCE, *, scale: float | None = None) -> bool:
    """Equal shapes, and values equal up to ``tolerance``, a fraction of ``scale``: by default the largest value."""
    if one.shape != other.shape:
        return False
    if not one.numel():
        return True
    largest = max(float(one.abs().max()), float(other.abs().max())) if scale is None else scale
    return bool((one.float() - other.float()).abs().max() <= tolerance * max(largest, 1e-12))


def scaled(heat: Tensor) -> Tensor:
    """A map scaled to [0, 1]; a constant one is zero."""
    heat = heat.float()
    low, high = heat.min(), heat.max()
    return (heat - low) / (high - low) if high > low else torch.zeros_like(heat)


def differ(one: Tensor, other: Tensor) -> bool:
    """Whether two maps show something else once both are scaled: by a tenth of the range somewhere."""
    return one.shape != other.shape or float((scaled(one) - scaled(other)).abs().max()) > 0.1


def peak(heat: Tensor, size: tuple[int, int]) -> tuple[float, float] | None:
    """Centre (x, y), in pixels of ``size`` (H, W), of what exceeds :data:`HOT`; ``None`` for a constant map [h, w]."""
    full = F.interpolate(heat[None, None].float(), size, mode="bilinear", align_corners=False)[0, 0]
    hot = (scaled(full) - HOT).clamp(min=0)
    if not bool(hot.any()):
        return None
    rows, columns = torch.meshgrid(torch.arange(size[0]) + 0.5, torch.arange(size[1]) + 0.5, indexing="ij")
    hot = hot.cpu() / hot.sum().cpu()
    return float((hot * columns).sum()), float((hot * rows).sum())
