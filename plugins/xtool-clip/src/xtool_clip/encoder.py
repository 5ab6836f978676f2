"""An open_clip model as an xtool encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xtool.loading import TextCache, check_pixels
from xtool.plugin import Cut, EncoderInfo, Layer, resized_masks
from xtool_clip.context import ContextWatch
from xtool_clip.inference import cnn_twin, copy_in
from xtool_clip.layers import describe_layer
from xtool_clip.mask_pooling import read_mask_pooling
from xtool_clip.masked_cosines import pays
from xtool_clip.masked_pools import mean_token_pool
from xtool_clip.pooling import OneQueryPool
from xtool_clip.text import embed_tokens
from xtool_clip.words import METHODS, word_relevance

Tokenizer = Callable[[list[str]], Tensor]
"""Texts to token ids [T, L], as ``open_clip.get_tokenizer`` gives it."""


class ClipEncoder:
    """An :class:`xtool.plugin.Encoder` on an ``open_clip.CLIP``, ``CustomTextCLIP`` or ``CoCa``, in eval mode.

    The towers stay in float32, the image tower for gradients, the text tower as each text is embedded only once. The
    thousands of passes that nobody differentiates, those under ``torch.inference_mode()``, and a pass in two parts
    (:class:`xtool.plugin.Cut`) are computed in ``dtype`` by a copy (:mod:`xtool_clip.inference`).
    The parameters keep ``requires_grad`` as open_clip sets it: gradient methods differentiate with respect to
    activations, and an activation of a frozen tower would have no gradient. Whoever needs none uses ``no_grad``.

    Args:
        model: moved to ``device`` and cast here; the encoder takes it over.
        tokenizer: turns texts into token ids of the model's context length.
        info: what the rest of the program should know.
        device: where pixels must be, and where embeddings are.
        dtype: precision of passes without gradient.
        compiled: use ``torch.compile`` for passes without gradients (:mod:`xtool_clip.inference`).
    """

    def __init__(
        self,
        model: nn.Module,
        tokenizer: Tokenizer,
        info: EncoderInfo,
        *,
        device: torch.device,
        dtype: torch.dtype,
        compiled: bool = False,
    ) -> None:
        self.info = info
        self.model = model.eval().to(device)
        self.device = device
        self.dtype = dtype
        self._tokenizer = tokenizer
        self._context = ContextWatch(info.name, tokenizer)
        self._texts = TextCache(info.embed_dim, device)
        self._compiled = compiled
        self._make_twins()
        if compiled:  # now, so that no image is charged with the wait
            with torch.inference_mode():
                self.encode_image(torch.zeros(1, 3, *info.input_size, device=device))

    def _make_twins(self) -> None:
        self._cnn = cnn_twin(self.visual, self.dtype, compiled=self._compiled)
        self._twin = self._cnn or copy_in(self.visual, self.dtype)

    def __getstate__(self) -> dict[str, Any]:
        """Without what is only kept for speed, and cannot be copied or pickled."""
        return {name: value for name, value in vars(self).items() if name not in ("_cnn", "_twin")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._make_twins()

    @property
    def visual(self) -> nn.Module:
        """The image tower."""
        return self.model.visual  # type: ignore[return-value]

    def encode_image(self, pixels: Tensor) -> Tensor:
        """Embed float32 normalised pixels [B, 3, H, W] as unit vectors [B, D], float32, differentiable.

        Under ``torch.inference_mode()`` it takes the faster way of :mod:`xtool_clip.inference`, in ``dtype``.

        Raises :class:`ValueError` for pixels of another size: the positions that the model has learnt would not fit.
        """
        check_pixels(self.info, pixels)
        twin = self._twin
        usable = twin is not None and twin.usable
        features: Tensor = twin(pixels) if usable else self.model.encode_image(pixels)  # type: ignore[operator, misc]
        return F.normalize(features.float(), dim=-1)

    def encode_pooled(self, pixels: Tensor, masks: Tensor) -> Tensor:
        """See :meth:`xtool.plugin.PoolsMasks.encode_pooled`; the pass is made in ``dtype``, the pooling in float32.

        Raises :class:`ValueError` as :meth:`encode_image` does, and :class:`xtool.plugin.UsageError` for a tower that
        cannot pool under masks.
        """
        check_pixels(self.info, pixels)
        return F.normalize(read_mask_pooling(self.visual, self.info.name)(self, pixels, masks), dim=-1)

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """Embed texts as unit vectors [T, D], float32, without gradient. Each text is embedded once, then kept.

        Raises :class:`xtool.plugin.UsageError` for a single string, which would be read letter by letter.
        """
        return self._texts.encode(texts, self._embed)

    def _embed(self, texts: list[str]) -> Tensor:
        tokens = self._tokenizer(texts).to(self.device)
        self._context(texts, tokens)
        return embed_tokens(self.model, tokens)

    @property
    def word_methods(self) -> tuple[str, ...]:
        """Methods of :meth:`word_relevance`."""
        return tuple(METHODS)

    def word_relevance(
        self, text: str, spans: Sequence[tuple[int, int]], direction: Tensor, method: str
    ) -> Sequence[float]:
        """How much each word moves the text's embedding; see :mod:`xtool_clip.words`."""
        with self._texts.lock:  # embedding swaps tensors in the text tower for a moment
            return word_relevance(self.model, self._tokenizer, self.info.name, text, spans, direction, method)

    def layer(self, name: str) -> Layer:
        """Describe a layer of the image tower; see :mod:`xtool_clip.layers`."""
        layer = describe_layer(self.visual, self.info, name)
        twin = self._cnn
        if twin is None or layer.name != self.info.layers[-1] or not (twin.unwatched and _is_float32(self.visual)):
            return layer
        pool: Any = self.visual.attnpool
        one_query, under_masks = OneQueryPool(pool), mean_token_pool(pool)
        return replace(
            layer,
            cut=Cut(
                encoder=self,
                before=lambda pixels: twin.now(pixels).maps(pixels),
                after=lambda maps: F.normalize(one_query(maps), dim=-1),
                pooled=lambda maps, masks: F.normalize(
                    under_masks(maps, resized_masks(masks, (maps.shape[-2], maps.shape[-1]))), dim=-1
                ),
                cosines=(lambda maps, masks: twin.now(maps).cosines(maps, masks)) if pays(pool) else None,
            ),
        )


def _is_float32(tower: nn.Module) -> bool:
    """A tower that somebody has cast is run as it is, and its own words say what is wrong."""
    return next(tower.parameters()).dtype == torch.float32
