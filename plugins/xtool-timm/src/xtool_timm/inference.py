"""What stands in for a classifier's tower in passes that nobody differentiates; see :mod:`xtool.loading`.

It computes the last maps, folded, channels-last and in a dtype of its own. They are pooled in float32, by the tower.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from xtool.loading import Body, InferenceTwin, folded, tile_by_tile
from xtool_timm.lite0 import Lite0, SameConv
from xtool_timm.tower import ClassifierTower

__all__ = ["twin_of"]

TILE = {"cpu": 2 * 2 * 384 * 384}
"""Bytes of one colour of the images at once; else as many as come. Of ``photo`` that is one image in float32, two in
bfloat16, whose widest maps have 14 MiB; two in float32 take 1.4 times as long. See :func:`xtool.loading.tile_by_tile`
for the reason."""


def twin_of(tower: ClassifierTower, dtype: torch.dtype) -> InferenceTwin[Body]:
    """The twin, in ``dtype``, of the part of ``tower`` that gives its last maps; its maps are float32."""

    def make(like: Tensor) -> Any:
        body = _folded(tower.model, dtype)
        return lambda pixels: _maps(body, pixels.to(dtype))

    return InferenceTwin(tower, make)


def _maps(body: nn.Module, pixels: Tensor) -> Tensor:
    most = TILE.get(pixels.device.type)
    one = pixels.shape[2] * pixels.shape[3] * pixels.element_size()
    return tile_by_tile(body, pixels, None if most is None else max(1, most // one)).float()


class _LastMaps(nn.Module):
    """A model up to what it pools, as a module with nothing else in its forward pass."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> Tensor:
        model: Any = self.model
        maps: Tensor = model.forward_features(pixels)
        return maps


def _folded(model: nn.Module, dtype: torch.dtype) -> nn.Module:
    body = _LastMaps(model).eval()
    if isinstance(model, Lite0):
        return folded(body, dtype, convolutions={nn.Conv2d, SameConv})
    from timm.layers import BatchNormAct2d, Conv2dSame

    def behind(norm: Any) -> nn.Module | None:
        if type(norm) is BatchNormAct2d:
            return nn.Sequential(norm.drop, norm.act)
        return nn.Identity() if type(norm) is nn.BatchNorm2d else None

    return folded(body, dtype, convolutions={nn.Conv2d, Conv2dSame}, behind=behind)
