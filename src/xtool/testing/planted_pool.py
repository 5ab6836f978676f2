"""``PlantedPool``: the planted CNN as an encoder that pools under masks, so that methods meet one."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor
from torch.nn import functional as F

from xtool.engine.masks import masked_means
from xtool.testing.planted import PlantedCNN


class PlantedPool(PlantedCNN):
    """A :class:`PlantedCNN` that is also an :class:`xtool.plugin.PoolsMasks`."""

    def __init__(self, input_size: tuple[int, int] = (64, 64), seed: int | None = None) -> None:
        super().__init__(input_size, seed)
        self._info = replace(self._info, name="planted-pool", pools_masks=True, default_mask_at="pool")

    def encode_pooled(self, pixels: Tensor, masks: Tensor) -> Tensor:
        """See :meth:`xtool.plugin.PoolsMasks.encode_pooled`."""
        means = masked_means(self._visual.layer1(pixels), masks)
        return F.normalize(self._visual.proj(means), dim=2)
