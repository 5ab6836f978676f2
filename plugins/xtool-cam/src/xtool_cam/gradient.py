"""The methods that weight activations by gradients, for any number of texts: one forward pass, a backward pass each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from xtool.plugin import Encoder, Layer, Saliency, UsageError, cut_of, cut_pass, gradient_layer, hooked, matches, shared
from xtool_cam import formulas
from xtool_cam.config import GradCAMPlusPlusConfig, GradientConfig, Score
from xtool_cam.scores import embed_for

Formula = Callable[[Tensor, Tensor], Tensor]


class _GradientMethod:
    """What the methods below have in common: everything but the formula."""

    formula: Formula

    def __init__(self, config: GradientConfig) -> None:
        self.config = config

    def explain(self, encoder: Encoder, pixels: Tensor, text: Tensor) -> Saliency:
        """See :meth:`xtool.plugin.SaliencyMethod.explain`. Costs one forward pass and T backward passes."""
        layer, score = gradient_layer(encoder, self.config.layer), self.config.score
        # Within one image the methods of this family differ in the formula alone.
        evidence = shared(
            ("xtool-cam gradients", layer.name, score),
            (encoder.visual, pixels, text),
            lambda: layer_evidence(encoder, pixels, text, layer, score),
        )
        maps = [self.formula(evidence.activations, gradients).relu() for gradients in evidence.gradients]
        return Saliency(torch.stack(maps, dim=1), present=None)


class GradCAM(_GradientMethod):
    """ReLU(Σ_c mean(∂s/∂A_c) A_c)."""

    formula = staticmethod(formulas.gradcam)


class GradCAMPlusPlus(_GradientMethod):
    """Grad-CAM with each position's gradient rectified and weighted by equation 19 of the paper."""

    def __init__(self, config: GradCAMPlusPlusConfig) -> None:
        super().__init__(config)
        self.formula = formulas.gradcam_plus_plus_pgc if config.epsilon == "pgc" else formulas.gradcam_plus_plus


class XGradCAM(_GradientMethod):
    """Grad-CAM with gradients averaged in proportion to the activation."""

    formula = staticmethod(formulas.xgradcam)


class HiResCAM(_GradientMethod):
    """ReLU(Σ_c ∂s/∂A_c ⊙ A_c)."""

    formula = staticmethod(formulas.hirescam)


class LayerCAM(_GradientMethod):
    """Σ_c ReLU(∂s/∂A_c) ⊙ A_c, rectified."""

    formula = staticmethod(formulas.layercam)


@dataclass(frozen=True, slots=True)
class LayerEvidence:
    """What a layer says about B images and T texts."""

    activations: Tensor
    """[B, C, h, w] float32"""
    embedding: Tensor
    """[B, D] float32, unit norm."""
    gradients: list[Tensor]
    """T times [B, C, h, w] float32: of each image's score with respect to its activations."""


def layer_evidence(encoder: Encoder, pixels: Tensor, text: Tensor, layer: Layer, score: Score) -> LayerEvidence:
    """Activations of ``layer``, and their gradients for each text, [T, D] or each image's own [B, T, D].

    The graph starts at the layer: what comes before runs without gradients and keeps nothing for them, no parameter
    collects a gradient, and it works alike whether parameters require gradients or not.

    Raises:
        UsageError: the score does not depend on the layer's spatial activations.
    """
    cut_here = cut_of(encoder, layer)
    if cut_here is not None and score == "cosine":
        found = cut_pass(encoder, pixels, layer, cut_here)
        with torch.enable_grad():
            leaf = found.output.detach().requires_grad_()
            compared = cut_here.after(leaf.clone())
            gradients = _gradients(matches(compared, text), leaf, encoder.dtype)
        return LayerEvidence(
            layer.maps(leaf.detach()).float(), found.embedding, [layer.maps(gradient) for gradient in gradients]
        )
    leaves: list[Tensor] = []

    def cut(output: Any) -> Tensor:
        if not isinstance(output, Tensor):
            raise UsageError(f"layer {layer.name} gives a {type(output).__name__}, not a tensor")
        torch.set_grad_enabled(True)  # until the block below ends
        leaves.append(output.detach().requires_grad_())
        return leaves[-1].clone()  # a leaf must not be the input of an in-place operation; its clone may

    with torch.no_grad(), hooked(layer.module, cut):
        unit, compared = embed_for(score, encoder, pixels)
        if len(leaves) != 1:
            raise UsageError(f"layer {layer.name} ran {len(leaves)} times in one forward pass; expected once")
        if not (compared.requires_grad and torch.is_grad_enabled()):  # an encoder may switch them off itself
            raise UsageError(f"the embedding of {encoder.info.name} cannot be differentiated up to layer {layer.name}")
        gradients = _gradients(matches(compared, text), leaves[0], encoder.dtype)
    _refuse_dead_patches(encoder, layer, gradients)
    return LayerEvidence(
        layer.maps(leaves[0].detach()).float(), unit.detach(), [layer.maps(gradient) for gradient in gradients]
    )


def _gradients(scores: list[Tensor], activation: Tensor, dtype: torch.dtype) -> list[Tensor]:
    """∂score/∂activation of each of T scores [B]; images do not mix, so the sum over the batch serves all at once."""
    # Gradients of a cosine are small enough to vanish in half precision; a power of two scales them exactly.
    scale = 1024.0 if torch.float16 in (activation.dtype, dtype) else 1.0
    last = len(scores) - 1
    found = (
        torch.autograd.grad(column.sum() * scale, activation, retain_graph=index < last)[0].float()
        for index, column in enumerate(scores)
    )
    return [gradient if scale == 1.0 else gradient / scale for gradient in found]


def _refuse_dead_patches(encoder: Encoder, layer: Layer, gradients: list[Tensor]) -> None:
    """Tell a layer whose patch tokens reach the embedding no more from an image that just has no gradient."""
    if any(bool(layer.maps(gradient).any()) for gradient in gradients):
        return
    if any(bool(layer.prefix(gradient).any()) for gradient in gradients):
        raise UsageError(
            f"at layer {layer.name} of {encoder.info.name} the gradient of every patch token is zero: after the last "
            "attention only the class token reaches the embedding, so there is nothing to map; use layer=auto "
            f"({gradient_layer(encoder).name}) or an earlier block"
        )
