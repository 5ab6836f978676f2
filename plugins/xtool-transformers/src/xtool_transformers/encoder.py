"""An image–text model of Hugging Face's transformers as an xtool encoder."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xtool.loading import InferenceTwin, TextCache, check_pixels
from xtool.plugin import EncoderInfo, Layer, layer_name
from xtool_transformers.text import TextTower
from xtool_transformers.tower import ImageTower

__all__ = ["TransformersEncoder"]


class TransformersEncoder:
    """An :class:`xtool.plugin.Encoder` on a model with two towers, in eval mode.

    The towers stay in float32. Passes under ``torch.inference_mode()``, which nobody differentiates, are computed in
    ``dtype`` by a copy.

    Args:
        tower: the image half, in float32, on its device.
        text: the other half.
        info: what the rest of the program should know.
        dtype: precision of passes without gradient.
    """

    def __init__(
        self, tower: ImageTower, text: TextTower, info: EncoderInfo, dtype: torch.dtype = torch.float32
    ) -> None:
        self.info = info
        self.dtype = dtype
        self.model: nn.Module = text.model.eval()
        self._tower = tower.eval()
        self._text = text
        self._texts = TextCache(info.embed_dim, self.device)
        self._make_twin()

    def _make_twin(self) -> None:
        self._twin = None if self.dtype == torch.float32 else InferenceTwin(self._tower, self._in_dtype)

    def _in_dtype(self, _like: Tensor) -> nn.Module:
        return copy.deepcopy(self._tower).to(self.dtype)

    def __getstate__(self) -> dict[str, Any]:
        """Without what is only kept for speed, and cannot be copied or pickled."""
        return {name: value for name, value in vars(self).items() if name != "_twin"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._make_twin()

    @property
    def visual(self) -> ImageTower:
        """The image tower."""
        return self._tower

    @property
    def device(self) -> torch.device:
        """Where pixels must be, and where embeddings are."""
        return next(self._tower.parameters()).device

    def encode_image(self, pixels: Tensor) -> Tensor:
        """Embed float32 normalised pixels [B, 3, H, W] as unit vectors [B, D], float32, differentiable.

        Raises :class:`ValueError` for pixels of another size: the positions that the model has learnt would not fit.
        """
        check_pixels(self.info, pixels)
        body = self._twin if self._twin is not None and self._twin.usable else self._tower
        return F.normalize(body(pixels).float(), dim=-1)

    def encode_pooled(self, pixels: Tensor, masks: Tensor) -> Tensor:
        """See :meth:`xtool.plugin.PoolsMasks.encode_pooled`; the pass is made in ``dtype``, the pooling in float32.

        Raises :class:`ValueError` as :meth:`encode_image` does, and :class:`xtool.plugin.UsageError` for a tower that
        cannot pool under masks.
        """
        check_pixels(self.info, pixels)
        return F.normalize(self._tower.pooled(self, pixels, masks), dim=-1)

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """Embed texts as unit vectors [T, D], float32, without gradient. Each text is embedded once, then kept.

        Raises :class:`xtool.plugin.UsageError` for a single string, which would be read letter by letter.
        """
        return self._texts.encode(texts, lambda new: self._text.embed(new, self.device))

    def layer(self, name: str) -> Layer:
        """Describe a layer of the image tower: see its class, in this package."""
        return self._tower.describe(layer_name(self.info, name, also=self._tower.also))
