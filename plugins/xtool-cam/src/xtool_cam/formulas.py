"""The formulas of the CAM family: activations, and gradients of the score with respect to them, to one map.

Both are [B, C, h, w] float32; maps are [B, h, w], before the ReLU that all of the methods end in.
"""

from __future__ import annotations

import torch
from torch import Tensor

PGC_EPSILON = 1e-6


def gradcam(activations: Tensor, gradients: Tensor) -> Tensor:
    """Σ_c mean(g_c) A_c (Selvaraju et al. 2017, equations 1 and 2)."""
    return _weighed(activations, gradients.mean(dim=(2, 3)))


def gradcam_plus_plus(activations: Tensor, gradients: Tensor) -> Tensor:
    """Σ_c w_c A_c with w_c = Σ_ij α ReLU(g) and α = g² / (2g² + Σ_ab A g³) (Chattopadhyay et al. 2018, equation 19).

    Divided by g², α is 1 / (2 + g Σ_ab A). So nothing has to be added against a division by zero, squares and cubes of
    small gradients do not vanish, and a layer in other units (s·A, g/s) gives the same map.
    """
    alpha = 2 + gradients * activations.sum(dim=(2, 3), keepdim=True)
    weights = torch.where(alpha == 0, 0, gradients.relu() / alpha)  # at the pole it is not defined
    return _weighed(activations, weights.sum(dim=(2, 3)))


def gradcam_plus_plus_pgc(activations: Tensor, gradients: Tensor) -> Tensor:
    """The same with 10⁻⁶ added to the denominator of α, as pytorch-grad-cam has it.

    Where gradients are below a thousandth, as those of a cosine are, that is more than the rest of the denominator.
    """
    squares = gradients.square()
    denominator = 2 * squares + activations.sum(dim=(2, 3), keepdim=True) * squares * gradients + PGC_EPSILON
    return _weighed(activations, (gradients.relu() * squares / denominator).sum(dim=(2, 3)))


def xgradcam(activations: Tensor, gradients: Tensor) -> Tensor:
    """Σ_c w_c A_c with w_c = Σ_ij (A / ΣA) g (Fu et al. 2020, equation 7); zero for a map that sums to zero."""
    total = activations.sum(dim=(2, 3))
    evidence = (activations * gradients).sum(dim=(2, 3))
    return _weighed(activations, torch.where(total == 0, 0, evidence / total))


def hirescam(activations: Tensor, gradients: Tensor) -> Tensor:
    """Σ_c g ⊙ A (Draelos and Carin 2020)."""
    return (gradients * activations).sum(dim=1)


def layercam(activations: Tensor, gradients: Tensor) -> Tensor:
    """Σ_c ReLU(g) ⊙ A (Jiang et al. 2021, equations 5 and 6)."""
    return (gradients.relu() * activations).sum(dim=1)


def eigencam(activations: Tensor) -> Tensor:
    """Each position's features, less their mean over the image, along the image's first principal axis.

    The sign of a principal axis is arbitrary, and linear algebra libraries give either. Here the value of the largest
    magnitude is positive.
    """
    features = activations.flatten(2).transpose(1, 2)  # [B, h·w, C]
    features = features - features.mean(dim=1, keepdim=True)
    axis = torch.linalg.svd(features, full_matrices=False)[2][:, 0]  # [B, C]
    along = torch.einsum("bpc,bc->bp", features, axis)
    upright = along.amax(dim=1, keepdim=True) >= -along.amin(dim=1, keepdim=True)
    return torch.where(upright, along, -along).reshape(len(activations), *activations.shape[2:])


def _weighed(activations: Tensor, weights: Tensor) -> Tensor:
    return torch.einsum("bchw,bc->bhw", activations, weights)
