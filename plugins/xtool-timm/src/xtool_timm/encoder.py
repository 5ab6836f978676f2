"""A timm classifier as an xtool encoder."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from xtool.plugin import EncoderInfo, Layer, SpatialMaps, UsageError, layer_name
from xtool_timm.names import ClassNames, Nearest
from xtool_timm.tower import ClassifierTower

__all__ = ["ClassifierEncoder"]

LOG = logging.getLogger("xtool_timm")


class ClassifierEncoder:
    """Texts become the direction of the nearest classes; see :mod:`xtool_timm.tower` for what the cosine means."""

    def __init__(
        self, tower: ClassifierTower, classes: Tensor, names: Callable[[], ClassNames], info: EncoderInfo
    ) -> None:
        """``names`` gives the names of the classes, and is called when a text is asked for."""
        self._tower = tower.eval()
        self._classes = classes
        self._names = names
        self._info = info
        self._told: set[str] = set()

    @property
    def info(self) -> EncoderInfo:
        return self._info

    @property
    def visual(self) -> ClassifierTower:
        return self._tower

    @property
    def device(self) -> torch.device:
        return next(self._tower.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        return next(self._tower.parameters()).dtype

    def encode_image(self, pixels: Tensor) -> Tensor:
        """Embed float32 normalised pixels [B, 3, H, W] as unit vectors [B, D], float32, differentiable."""
        return F.normalize(self._tower(pixels.to(self.dtype)).float(), dim=1)

    def encode_pooled(self, pixels: Tensor, masks: Tensor) -> Tensor:
        """See :meth:`xtool.plugin.PoolsMasks.encode_pooled`; an image of nothing is ``(0, 1, 0)``.

        Raises :class:`UsageError` for a network that puts something between its last maps and its classifier.
        """
        if not self._info.pools_masks:
            raise UsageError(f"{self._info.name} does not pool its last maps by their mean, and takes no masks there")
        return F.normalize(self._tower.pooled(pixels.to(self.dtype), masks).float(), dim=2)

    @torch.no_grad()
    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """The mean direction of the classes nearest to each text, as unit vectors [T, D], float32.

        What is no class's name is said on the log, once for each text, with the classes that it was taken for.
        """
        rows = []
        for text in texts:
            found = self.nearest(text)
            if not found.exact and text not in self._told:
                self._told.add(text)
                LOG.warning("%s: %s", self._info.name, found.message())
            rows.append(self._classes[[match.index for match in found.matches]].mean(dim=0))
        return F.normalize(torch.stack(rows), dim=1).to(self.device)

    def layer(self, name: str) -> Layer:
        """Describe a layer of the image tower: each gives maps [B, C, h, w]."""
        name = layer_name(self._info, name)
        return Layer(name, self._tower.module(name), SpatialMaps())

    def nearest(self, text: str) -> Nearest:
        """The classes that a text is taken for, nearest first."""
        return self._names().nearest(text)
