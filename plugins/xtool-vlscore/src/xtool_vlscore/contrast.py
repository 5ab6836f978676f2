"""Contrast: how much of what all feature maps have in common, whatever the text, is subtracted from a saliency map.

With K kept maps and a strength λ in [0, 1] the weights become w_c − λ · (K − 1)/K · Σw/K and the maps
A_c − λ · mean(A_c); the saliency map is the ReLU of their product. At λ = 1 boxes fit objects and not their
surroundings, which matters in pictures of many things; at λ = 0 the map holds all that the text sees, which matters
where one thing fills the picture. (The factor (K − 1)/K keeps a single kept map from cancelling itself; with hundreds
it is one.)

*auto* reads the strength from the scores and the maps of the image and the text themselves::

    r   = clip((g − b) / (max_c s_c − b), 0, 1)         g the cosine of the whole image with the text
    ρ   = corr(Σ_c w'_c (A_c − mean(A_c)), Σ_c A_c)     over places; w' the weights at λ = 1, before the ReLU
    λ   = clip(max(1 − r, −2ρ), 0, 1)

So there is contrast as far as some mask explains the text better than the whole picture does, and all of it where what
is special to the text lies away from what all maps show (ρ ≤ −½). Nothing in it is tuned to one data set.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["contrast_strength", "contrasted_map"]


def contrast_strength(whole: Tensor, best: Tensor, weights: Tensor, average: Tensor, maps: Tensor) -> Tensor:
    """λ [B, T] in [0, 1].

    Args:
        whole: [B, T] what the whole image scores above the base, g − b.
        best: [B, T] what the best mask scores above the base. Where none beats it, nothing says that a mask explains
            the text better than the image: r is 1.
        weights: [B, T, C] of the maps.
        average: [B, T, C] the maps that share what is subtracted: those kept, and unscored ones.
        maps: [B, C, h, w].
    """
    ratio = torch.where(best > 0, whole / best.clamp(min=1e-12), 1.0).clamp(0, 1)
    special = contrasted_map(weights, average, maps, torch.ones_like(best))
    common = maps.sum(dim=1, keepdim=True)
    correlation = _correlation(special.flatten(2), common.flatten(2))
    return torch.maximum(1 - ratio, -2 * correlation).clamp(0, 1)


def contrasted_map(weights: Tensor, average: Tensor, maps: Tensor, strength: Tensor) -> Tensor:
    """[B, T, h, w] from weights and the maps that are ``average`` [B, T, C], maps [B, C, h, w] and λ [B, T]; signed."""
    count = average.sum(dim=2, keepdim=True).clamp(min=1)
    shared = weights.sum(dim=2, keepdim=True) / count * (count - 1) / count
    weights = weights - strength[:, :, None] * average * shared
    heat = torch.einsum("btc,bchw->bthw", weights, maps)
    # The means need no maps of their own for each text: a weighted sum of constants is one constant.
    constant = torch.einsum("btc,bc->bt", weights, maps.mean(dim=(2, 3)))
    return heat - (strength * constant)[:, :, None, None]


def _correlation(ones: Tensor, others: Tensor) -> Tensor:
    """Pearson's, over the last dimension; 0 where one of the two is constant."""
    ones, others = (each.double() - each.double().mean(dim=-1, keepdim=True) for each in (ones, others))
    lengths = ones.norm(dim=-1) * others.norm(dim=-1)
    return torch.where(lengths > 0, (ones * others).sum(dim=-1) / lengths.clamp(min=1e-30), 0.0).float()
