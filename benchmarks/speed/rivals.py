"""Other tools, a plain loop, and xtool's own methods as one kind of function: how many maps to score -> a map.

All see the same model, layer, image and text, in float32 unless they are xtool's and told otherwise. The Score-CAMs
explain 100·cos, CLIP's own logit: cosines alone lie so close together that every weight is the same, and tools would
agree whatever they compute.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.speed import models
from xtool.contracts.protocols import Encoder
from xtool.engine.masking import embed_masked

LOGIT_SCALE = 100.0
ALIKE = 0.999
"""Correlation of maps that compute the same."""
BATCH = 32
"""Masked images to a pass of the other tools: torchcam's default, and what the VL-Score article's code has."""

Explain = Callable[[int], Tensor]
"""Number of feature maps to a raw map [h, w]."""


class Matched(nn.Module):
    """An image tower and a text as a classifier of one class, which is what the other tools take."""

    def __init__(self, visual: nn.Module, text: Tensor) -> None:
        super().__init__()
        self.visual = visual
        self.text = text

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits [B, 1]."""
        return LOGIT_SCALE * F.normalize(self.visual(pixels), dim=-1) @ self.text.T


@dataclass(frozen=True, slots=True)
class Question:
    """What everybody is asked."""

    encoder: Encoder
    """A CNN of open_clip's own, in float32."""
    pixels: Tensor
    text: Tensor
    """[1, D]"""

    @property
    def model(self) -> Matched:
        return Matched(self.encoder.visual, self.text)

    @property
    def layer(self) -> nn.Module:
        return self.encoder.visual.get_submodule(self.encoder.info.default_layer)


def grad_cam_library(question: Question, name: str) -> Explain:
    """pytorch-grad-cam's class of this name. Its masks need memory for all maps at once."""

    def explain(maps: int) -> Tensor:
        import pytorch_grad_cam
        from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

        kind = getattr(pytorch_grad_cam, name)
        with _quiet(), kind(question.model, [question.layer], reshape_transform=_first(maps, name)) as cam:
            cam.batch_size = BATCH
            return torch.from_numpy(cam(question.pixels, [ClassifierOutputTarget(0)])[0])

    return explain


def torchcam_library(question: Question, name: str) -> Explain:
    """torchcam's class of this name."""

    def explain(maps: int) -> Tensor:
        from torchcam import methods

        model = question.model
        layer = f"visual.{question.encoder.info.default_layer}"
        score = name == "ScoreCAM"
        options = {"batch_size": BATCH} if score else {}
        with getattr(methods, name)(model, layer, reshape_transform=_first(maps, name), **options) as cam:
            with torch.no_grad() if score else contextlib.nullcontext():
                logits = model(question.pixels)
            return cam(0, logits)[0][0].cpu()

    return explain


def _first(maps: int, name: str) -> Callable[[Tensor], Tensor] | None:
    """What makes a library score only so many maps; gradient methods take all, as theirs cost nothing each."""
    return (lambda output: output[:, :maps]) if name == "ScoreCAM" else None


def plain_loop(question: Question) -> Explain:
    """VL-Score as its article's code has it: every mask upsampled at once, then batch after batch through the tower."""

    def cosines(pixels: Tensor) -> Tensor:
        return (F.normalize(question.encoder.visual(pixels), dim=-1) @ question.text.T)[:, 0]

    @torch.no_grad()
    def explain(maps: int) -> Tensor:
        kept: list[Tensor] = []
        handle = question.layer.register_forward_hook(lambda _module, _inputs, output: kept.append(output))
        cosines(question.pixels)
        handle.remove()
        activations = kept[0][0, :maps]
        size = question.pixels.shape[-2:]
        masks = F.interpolate(activations[None], size, mode="bilinear", align_corners=True)[0]
        low, high = masks.amin(dim=(1, 2), keepdim=True), masks.amax(dim=(1, 2), keepdim=True)
        masks = (masks - low) / (high - low + 1e-7)
        scores = torch.cat([cosines(part[:, None] * question.pixels) for part in masks.split(BATCH)])
        base = cosines(torch.zeros_like(question.pixels))
        better = scores > base
        weights = (scores[better] - base).softmax(dim=0)
        return torch.einsum("c,chw->hw", weights, activations[better]).relu().cpu()

    return explain


def own_method(question: Question, encoder: Encoder, label: str) -> Explain:
    """A method of xtool on ``encoder``, which holds the weights of the question's."""

    @torch.no_grad()
    def explain(maps: int) -> Tensor:
        method = models.method(label, encoder.info, maps)
        found: Tensor = method.explain(encoder, question.pixels, question.text).maps
        return found[0, 0].cpu()

    return explain


def own_engine_as_torchcam(question: Question) -> Explain:
    """xtool's mask engine with torchcam's masks: scaled to [0, 1] before they are upsampled, between cell centres.

    torchcam also subtracts the score of the whole image, which a softmax cancels.
    """

    @torch.no_grad()
    def explain(maps: int) -> Tensor:
        activations = models.feature_maps(question.encoder, question.pixels)[:, :maps]
        masks = activations - activations.amin(dim=(2, 3), keepdim=True)
        masks = masks / (masks.amax(dim=(2, 3), keepdim=True) + 1e-8)
        masked = embed_masked(question.encoder, question.pixels, masks, align_corners=False, scale=False)
        weights = (LOGIT_SCALE * masked.embeddings[0] @ question.text[0]).softmax(dim=0)
        return torch.einsum("c,chw->hw", weights, activations[0]).relu().cpu()

    return explain


def comparable(found: Tensor, size: int = 224) -> Tensor:
    """A map as every tool shows it: brought to the input's pixels and scaled to [0, 1].

    Raises :class:`AssertionError` for a constant map: any two of them would seem to agree.
    """
    if tuple(found.shape) != (size, size):
        found = F.interpolate(found[None, None].float(), (size, size), mode="bilinear", align_corners=False)[0, 0]
    low, high = found.min(), found.max()
    if not high > low:
        raise AssertionError("a constant map compares with nothing")
    return (found - low) / (high - low)


def correlation(one: Tensor, other: Tensor) -> float:
    """Pearson's, of two maps of any resolution."""
    pair = torch.stack([comparable(one).flatten(), comparable(other).flatten()])
    return float(torch.corrcoef(pair.double())[0, 1])


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """pytorch-grad-cam draws a progress bar."""
    with contextlib.redirect_stderr(io.StringIO()):
        yield
