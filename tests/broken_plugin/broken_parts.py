"""Methods that keep every promise but one. ``Sound`` keeps all; the others change one thing of it."""

from __future__ import annotations

import contextlib

import torch
from pydantic import ConfigDict, Field
from torch import nn
from torch.nn import functional as F

from xtool.plugin import MethodConfig, Saliency, UsageError, embed_masked


class Sound:
    """Occlusion: the drop of the cosine when a cell of 16×16 pixels is hidden."""

    def __init__(self, config) -> None:
        self.config = config

    def explain(self, encoder, pixels, text) -> Saliency:
        return _saliency(self.heat(encoder, pixels, text))

    def heat(self, encoder, pixels, text):
        h, w = pixels.shape[-2] // 16, pixels.shape[-1] // 16
        cells = torch.eye(h * w).reshape(1, h * w, h, w)
        masks = 1 - F.interpolate(cells, pixels.shape[-2:], mode="nearest").expand(len(pixels), -1, -1, -1)
        hidden = embed_masked(encoder, pixels, masks, scale=False).embeddings
        drops = encoder.encode_image(pixels)[:, None] - hidden
        # One text after the other: a sum over all at once would round differently for one text alone.
        return torch.stack([(drops * one).sum(dim=2) for one in text], dim=1).unflatten(2, (h, w))


def _saliency(maps):
    return Saliency(maps, present=torch.ones(maps.shape[:2], dtype=torch.bool))


class Flat(Sound):
    def explain(self, encoder, pixels, text):
        found = super().explain(encoder, pixels, text)
        return Saliency(found.maps.flatten(2), found.present)


class Double(Sound):
    def heat(self, encoder, pixels, text):
        return super().heat(encoder, pixels, text).double()


class NotFinite(Sound):
    def heat(self, encoder, pixels, text):  # scaled to [0, 1] without a thought for constant maps
        heat = super().heat(encoder, pixels, text)
        low, high = heat.amin((2, 3), keepdim=True), heat.amax((2, 3), keepdim=True)
        return (heat - low) / (high - low)


class MixesImages(Sound):
    def heat(self, encoder, pixels, text):
        heat = super().heat(encoder, pixels, text)
        return heat + 0.5 * heat.mean(dim=0, keepdim=True)


class MixesTexts(Sound):
    def heat(self, encoder, pixels, text):
        heat = super().heat(encoder, pixels, text)
        return heat - 0.3 * heat.mean(dim=1, keepdim=True)


class Remembers(Sound):
    """Shares between calls under a key that leaves the text out."""

    def heat(self, encoder, pixels, text):
        from xtool.plugin import shared

        return shared("remembers", (pixels,), lambda: super(Remembers, self).heat(encoder, pixels, text))[
            :, : len(text)
        ]


class Dice(Sound):
    def heat(self, encoder, pixels, text):
        heat = super().heat(encoder, pixels, text)
        return heat + 0.01 * torch.rand_like(heat) * heat.abs().amax()


class LeavesAHook(Sound):
    def heat(self, encoder, pixels, text):
        encoder.visual.register_forward_hook(lambda *_: None)
        return super().heat(encoder, pixels, text)


class LeavesAGradient(Sound):
    def heat(self, encoder, pixels, text):
        for parameter in encoder.visual.parameters():
            parameter.grad = torch.ones_like(parameter)
        return super().heat(encoder, pixels, text)


class Trains(Sound):
    def heat(self, encoder, pixels, text):
        encoder.visual.train()
        return super().heat(encoder, pixels, text)


class Freezes(Sound):
    def heat(self, encoder, pixels, text):
        encoder.visual.requires_grad_(False)
        return super().heat(encoder, pixels, text)


class LeaksOnError(Sound):
    def heat(self, encoder, pixels, text):
        handle = encoder.visual.register_forward_hook(lambda *_: None)
        heat = super().heat(encoder, pixels, text)
        handle.remove()
        return heat


class Swallows(Sound):
    def heat(self, encoder, pixels, text):
        with contextlib.suppress(Exception):
            return super().heat(encoder, pixels, text)
        return torch.zeros(len(pixels), len(text), 2, 2)


class TextBlind(Sound):
    def heat(self, encoder, pixels, text):
        everything = encoder.encode_text(["red", "green", "blue"]).sum(dim=0, keepdim=True)
        return super().heat(encoder, pixels, everything).repeat(1, len(text), 1, 1)


class ModelBlind(Sound):
    """Looks for the colours themselves, and never asks the model."""

    def heat(self, encoder, pixels, text):
        colours = F.avg_pool2d(pixels, 8)
        opponent = 1.5 * colours - 0.5 * colours.sum(dim=1, keepdim=True)
        return torch.einsum("td,bdhw->bthw", text[:, :3], opponent.relu())


class Transposed(Sound):
    def heat(self, encoder, pixels, text):
        heat = super().heat(encoder, pixels, text)
        return heat.transpose(2, 3).contiguous().view(heat.shape)  # tokens read column by column


class Shifted(Sound):
    def heat(self, encoder, pixels, text):
        heat = super().heat(encoder, pixels, text)
        return heat.flatten(2).roll(1, dims=2).view(heat.shape)  # the class token was taken for the first patch


class Cropped(Sound):
    def heat(self, encoder, pixels, text):
        return super().heat(encoder, pixels, text)[:, :, :, 1:-1]  # the middle square, drawn over the whole image


class UpsideDown(Sound):
    def heat(self, encoder, pixels, text):
        return super().heat(encoder, pixels, text).flip(2)


class Wordless(Sound):
    def heat(self, encoder, pixels, text):
        if isinstance(encoder.visual, nn.Flatten):
            raise AttributeError("'Flatten' object has no attribute 'layer4'")
        return super().heat(encoder, pixels, text)


class SecretlyGradients(Sound):
    def heat(self, encoder, pixels, text):
        with torch.enable_grad():
            leaf = pixels.detach().clone().requires_grad_()
            embedding = encoder.encode_image(leaf)
            if not embedding.requires_grad and not torch.is_inference_mode_enabled():
                raise UsageError("the embedding has no gradient")
            torch.autograd.grad(embedding.sum(), leaf)
        return super().heat(encoder, pixels, text)


class Undescribed(MethodConfig):
    strength: float = 1.0


class Comma(MethodConfig):
    size: str = Field("3,5", description="Two numbers.")


class Lenient(MethodConfig):
    model_config = ConfigDict(extra="ignore")


class WithLayer(MethodConfig):
    layer: str = Field("auto", description="Is never looked at.")
