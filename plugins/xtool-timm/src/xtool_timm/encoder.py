"""A timm classifier as an xtool encoder."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from xtool.loading import TextCache, half_precision
from xtool.plugin import Cut, EncoderInfo, Layer, SpatialMaps, UsageError, layer_name
from xtool_timm.inference import twin_of
from xtool_timm.names import ClassNames, Nearest
from xtool_timm.tower import ClassifierTower

__all__ = ["ClassifierEncoder"]

LOG = logging.getLogger("xtool_timm")


class ClassifierEncoder:
    """Texts become the direction of the nearest classes; see :mod:`xtool_timm.tower` for what the cosine means.

    The tower stays in float32, for gradients. The passes that nobody differentiates, those under
    ``torch.inference_mode()`` and those in two parts (:class:`xtool.plugin.Cut`), are computed in ``dtype`` by a copy
    (:mod:`xtool_timm.inference`).

    Args:
        tower: in float32.
        classes: unit vectors [classes, D] of the classes.
        names: gives the names of the classes, and is called when a text is asked for.
        info: what the rest of the program should know.
        dtype: precision of passes without gradient.
    """

    def __init__(
        self,
        tower: ClassifierTower,
        classes: Tensor,
        names: Callable[[], ClassNames],
        info: EncoderInfo,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.dtype = dtype
        self._tower = tower.eval()
        self._make_twin()
        self._classes = classes
        self._names = names
        self._info = info
        self._texts = TextCache(info.embed_dim, self.device)

    def __getstate__(self) -> dict[str, Any]:
        """Without what is only kept for speed, and cannot be copied or pickled."""
        return {name: value for name, value in vars(self).items() if name != "_twin"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._make_twin()

    def _make_twin(self) -> None:
        self._twin = twin_of(self._tower, self.dtype)

    @property
    def info(self) -> EncoderInfo:
        return self._info

    @property
    def visual(self) -> ClassifierTower:
        return self._tower

    @property
    def device(self) -> torch.device:
        return next(self._tower.parameters()).device

    def encode_image(self, pixels: Tensor) -> Tensor:
        """Embed float32 normalised pixels [B, 3, H, W] as unit vectors [B, D], float32, differentiable."""
        return F.normalize(self._tower.embedded(self._maps(pixels)), dim=1)

    def encode_pooled(self, pixels: Tensor, masks: Tensor) -> Tensor:
        """See :meth:`xtool.plugin.PoolsMasks.encode_pooled`; an image of nothing is ``(0, 1, 0)``.

        Raises :class:`UsageError` for a network that puts something between its last maps and its classifier.
        """
        if not self._info.pools_masks:
            raise UsageError(f"{self._info.name} does not pool its last maps by their mean, and takes no masks there")
        with half_precision(self.device, self.dtype):
            maps = self._maps(pixels)
        return F.normalize(self._tower.embedded_under(masks, maps.float()), dim=2)

    def _maps(self, pixels: Tensor) -> Tensor:
        return self._twin(pixels) if self._twin.usable else self._tower.maps(pixels)

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """The mean direction of the classes nearest to each text, as unit vectors [T, D], float32.

        What is no class's name is said on the log, with the classes that it was taken for, as it is embedded.
        Raises :class:`UsageError` for a single string, which would be read letter by letter.
        """
        return self._texts.encode(texts, self._embed)

    def _embed(self, texts: Sequence[str]) -> Tensor:
        rows = []
        for text in texts:
            found = self.nearest(text)
            if not found.exact:
                LOG.warning("%s: %s", self._info.name, found.message())
            rows.append(self._classes[[match.index for match in found.matches]].mean(dim=0))
        return F.normalize(torch.stack(rows), dim=1).to(self.device)

    def layer(self, name: str) -> Layer:
        """Describe a layer of the image tower: each gives maps [B, C, h, w]."""
        name = layer_name(self._info, name)
        return Layer(name, self._tower.module(name), SpatialMaps(), cut=self._cut(name))

    def _cut(self, layer: str) -> Cut | None:
        """At the last maps."""
        tower = self._tower
        cast = next(tower.parameters()).dtype != torch.float32  # by somebody; its own words say what is wrong
        if layer != self._info.layers[-1] or cast or not self._twin.unwatched:
            return None
        return Cut(
            encoder=self,
            before=self._twin,
            after=lambda maps: F.normalize(tower.embedded(maps), dim=1),
            pooled=lambda maps, masks: F.normalize(tower.embedded_under(masks, maps), dim=2),
            cosines=tower.cosines_under,
        )

    def nearest(self, text: str) -> Nearest:
        """The classes that a text is taken for, nearest first."""
        return self._names().nearest(text)
