"""pytorch-grad-cam as a library of formulas: (activations, gradients) -> map. The only module that imports it.

Its classes also run the model, one text at a time and with hooks that live as long as the object. Here they are given
no layer to hook and a stand-in for the model, and asked for their formula alone.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Literal

import numpy as np
import pytorch_grad_cam
from numpy.typing import NDArray
from torch import nn

Formula = Literal["GradCAM", "GradCAMPlusPlus", "XGradCAM", "HiResCAM", "LayerCAM", "EigenCAM"]
FloatArray = NDArray[np.float32]


def apply_formula(formula: Formula, activations: FloatArray, gradients: FloatArray | None = None) -> FloatArray:
    """:func:`signed_formula` after the ReLU that all of the methods end in."""
    return np.maximum(signed_formula(formula, activations, gradients), 0)


def signed_formula(formula: Formula, activations: FloatArray, gradients: FloatArray | None = None) -> FloatArray:
    """Evaluate the formula of the class ``pytorch_grad_cam.<formula>``.

    Args:
        formula: name of the class.
        activations: [B, C, h, w].
        gradients: [B, C, h, w] of the score of each image with respect to its activations.

    Returns:
        [B, h, w]; zero where the formula divides zero by zero.
    """
    with np.errstate(all="ignore"):  # 0/0 in the weights of a map without activation; defined as zero below
        # In order: input, target layer, targets (no formula reads them), activations, gradients, eigen_smooth.
        found = _formulas(formula)(None, None, None, activations, gradients, False)
    return np.nan_to_num(np.asarray(found, dtype=np.float32), nan=0.0, posinf=0.0, neginf=0.0)


@cache
def _formulas(formula: Formula) -> Callable[..., Any]:
    # The class asks its model for a parameter's device. A batch norm has one and draws no random numbers for it.
    get_cam_image: Callable[..., Any] = getattr(pytorch_grad_cam, formula)(nn.BatchNorm2d(1), []).get_cam_image
    return get_cam_image
