"""An image–text model of Hugging Face's transformers as an xtool encoder."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xtool.loading import InferenceTwin
from xtool.plugin import EncoderInfo, Layer, UsageError, layer_name
from xtool_transformers.text import TextTower
from xtool_transformers.tower import ImageTower

__all__ = ["TransformersEncoder"]

CACHED_TEXTS = 16_384
"""A thousand classes with a few prompts each; 64 MiB at 1,024 dimensions."""


class TransformersEncoder:
    """An :class:`xtool.plugin.Encoder` on a model with two towers, in eval mode.

    The towers stay in float32. Passes that nobody differentiates, those under ``torch.inference_mode()``, are computed
    in ``dtype``.

    Args:
        tower: the image half, in float32, on its device.
        text: the other half.
        info: what the rest of the program should know.
        dtype: precision of passes under ``torch.inference_mode()``.
    """

    def __init__(
        self, tower: ImageTower, text: TextTower, info: EncoderInfo, dtype: torch.dtype = torch.float32
    ) -> None:
        self.info = info
        self.dtype = dtype
        self.model: nn.Module = text.model.eval()
        self._tower = tower.eval()
        self._text = text
        self._start_afresh()

    def _start_afresh(self) -> None:
        """Make what is only kept for speed, and cannot be copied or pickled."""
        self._twin = None if self.dtype == torch.float32 else InferenceTwin(self._tower, self._in_dtype)
        self._texts: OrderedDict[str, Tensor] = OrderedDict()
        self._text_lock = Lock()

    def _in_dtype(self, _like: Tensor) -> nn.Module:
        return copy.deepcopy(self._tower).to(self.dtype)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("_twin", "_texts", "_text_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._start_afresh()

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
        self._check(pixels)
        body = self._twin if self._twin is not None and self._twin.usable else self._tower
        return F.normalize(body(pixels).float(), dim=-1)

    def encode_pooled(self, pixels: Tensor, masks: Tensor) -> Tensor:
        """See :meth:`xtool.plugin.PoolsMasks.encode_pooled`; in float32 whatever ``dtype`` is.

        Raises :class:`ValueError` as :meth:`encode_image` does, and :class:`xtool.plugin.UsageError` for a tower that
        cannot pool under masks.
        """
        self._check(pixels)
        return F.normalize(self._tower.pooled(pixels, masks), dim=-1)

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """Embed texts as unit vectors [T, D], float32, without gradient. Each text is embedded once, then kept.

        Raises :class:`xtool.plugin.UsageError` for a single string, which would be read letter by letter.
        """
        if isinstance(texts, str):
            raise UsageError(f"encode_text takes a list of texts, not the single string {texts!r}")
        if not texts:
            return torch.empty(0, self.info.embed_dim, device=self.device)
        with self._text_lock:
            known = {text: self._texts[text] for text in dict.fromkeys(texts) if text in self._texts}
            new = [text for text in dict.fromkeys(texts) if text not in known]
            if new:
                known.update(zip(new, self._text.embed(new, self.device), strict=True))
            self._remember(known)
        return torch.stack([known[text] for text in texts])

    def layer(self, name: str) -> Layer:
        """Describe a layer of the image tower: see its class, in this package."""
        return self._tower.describe(layer_name(self.info, name, also=self._tower.also))

    def _check(self, pixels: Tensor) -> None:
        if pixels.ndim != 4 or tuple(pixels.shape[1:]) != (3, *self.info.input_size):
            wanted = ", ".join(map(str, (3, *self.info.input_size)))
            raise ValueError(f"{self.info.name} takes pixels [B, {wanted}], not {list(pixels.shape)}")

    def _remember(self, embeddings: dict[str, Tensor]) -> None:
        for text, embedding in embeddings.items():
            self._texts[text] = embedding
            self._texts.move_to_end(text)
        while len(self._texts) > CACHED_TEXTS:
            self._texts.popitem(last=False)
