"""A classifier's image tower and its classes as one embedding space.

**What the cosine means.** A linear classifier's logit of class c is ``w_c · f + b_c`` with f the pooled features. Put
a 1 behind f, b_c behind w_c, and behind that what brings every class to one common length M::

    image = (f, 1, 0)        class c = (w_c, b_c, sqrt(M² − ‖w_c‖² − b_c²))

Then image · class c is exactly the logit, and the cosine is ``logit / (M · ‖image‖)``: the classes of an image rank by
cosine as they rank by logit. Cosines of two images cannot be compared as probabilities can.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from xtool.plugin import UsageError, masked_means

__all__ = ["ClassifierTower", "NoClassifierError", "class_vectors"]


class NoClassifierError(UsageError):
    """A model has no linear classifier over feature maps whose classes have names."""


class ClassifierTower(nn.Module):
    """A timm CNN without its classifier: pixels [B, 3, H, W] to ``(f, 1, 0)`` [B, C + 2], not normalised."""

    def __init__(self, model: nn.Module, layers: tuple[str, ...]) -> None:
        super().__init__()
        self.model = model
        self.features = nn.Identity()
        """What is pooled and classified passes through here, so that hooks find it whatever the architecture."""
        self.layers = layers

    def forward(self, pixels: Tensor) -> Tensor:
        return self.embedded(self.maps(pixels))

    def maps(self, pixels: Tensor) -> Tensor:
        """The last maps [B, C, h, w] of pixels [B, 3, H, W]."""
        model: Any = self.model
        maps: Tensor = self.features(model.forward_features(pixels))
        return maps

    def embedded(self, maps: Tensor) -> Tensor:
        """``(f, 1, 0)`` [B, C + 2] of the last maps [B, C, h, w]."""
        model: Any = self.model
        return _joint(model.forward_head(maps, pre_logits=True))

    def embedded_under(self, masks: Tensor, maps: Tensor) -> Tensor:
        """``(f, 1, 0)`` [B, N, C + 2] of the last maps, with f their mean under each of masks [B, N, ·, ·].

        Under a mask of zeros that is ``(0, 1, 0)``, under one of ones what :meth:`embedded` gives if the model
        :meth:`pools_by_mean`.
        """
        return _joint(masked_means(maps, masks))

    def cosines_under(self, maps: Tensor, masks: Sequence[Tensor]) -> list[tuple[Tensor, Callable[[Tensor], Tensor]]]:
        """What :meth:`embedded_under` comes to, held against texts, without ever making it.

        With X the last maps of an image as places × channels and w a mask whose cells sum to 1, f = Xᵀw, so that
        f·t = w·(Xt) and f·f = w·(XXᵀ)w, which takes a number for each place where f has one for each channel.

        Args:
            maps: [B, C, h, w].
            masks: of each image, [N, h, w] in [0, 1].

        Returns:
            For each image the embedding [C + 2] of nothing, and what gives its N cosines with a unit text [C + 2].
        """
        nothing = _joint(maps.new_zeros(maps.shape[1]))
        return [(nothing, _cosines(one.flatten(1).T, own.flatten(1))) for one, own in zip(maps, masks, strict=True)]

    def module(self, layer: str) -> nn.Module:
        """The module whose output is a layer: a stage of the model by timm's name, or what is pooled."""
        return self.features if layer == self.layers[-1] else self.model.get_submodule(layer)

    @torch.no_grad()
    def pools_by_mean(self, size: tuple[int, int]) -> bool:
        """Whether pooled features are the mean of the last maps, and nothing lies between: what CAM needs."""
        model: Any = self.model
        generator = torch.Generator().manual_seed(0)
        weight = next(self.model.parameters())
        pixels = torch.randn(1, 3, *size, generator=generator).to(weight)
        maps = model.forward_features(pixels)
        pooled = model.forward_head(maps, pre_logits=True)
        if maps.ndim != 4 or pooled.shape != maps.shape[:2]:
            return False
        difference = (pooled - maps.mean(dim=(2, 3))).abs().max()
        return bool(difference <= 1e-4 * pooled.abs().max())


def _joint(features: Tensor) -> Tensor:
    """``(f, 1, 0)`` [..., C + 2] of f [..., C]."""
    one = features.new_ones(*features.shape[:-1], 1)
    return torch.cat([features, one, torch.zeros_like(one)], dim=-1)


def _cosines(cells: Tensor, masks: Tensor) -> Callable[[Tensor], Tensor]:
    """From X [P, C] and masks [N, P]."""
    total = masks.sum(dim=1, keepdim=True)
    weights = masks / torch.where(total > 0, total, 1.0)
    scale = (weights @ (cells @ cells.T) * weights).sum(dim=1).add(1).rsqrt()
    return lambda text: (weights @ (cells @ text[:-2]) + text[-2]) * scale


def class_vectors(classifier: nn.Module) -> Tensor:
    """Unit vectors [classes, C + 2] float32 of a linear classifier. Raises :class:`NoClassifierError` for any other."""
    if isinstance(classifier, nn.Identity):
        raise NoClassifierError("it has no classifier")
    if not isinstance(classifier, nn.Linear):
        raise NoClassifierError(f"its classifier is a {type(classifier).__name__}; xtool-timm reads linear ones")
    weight = classifier.weight.detach().float()
    bias = classifier.bias.detach().float() if classifier.bias is not None else weight.new_zeros(len(weight))
    vectors = torch.cat([weight, bias[:, None]], dim=1)
    squares = vectors.double().square().sum(dim=1)
    missing = (squares.max() - squares).clamp(min=0).sqrt().float()
    whole = torch.cat([vectors, missing[:, None]], dim=1)
    return whole / squares.max().sqrt().float()
