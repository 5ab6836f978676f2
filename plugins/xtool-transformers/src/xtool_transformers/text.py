"""Texts of Hugging Face's image–text models: to token ids by the model's own tokenizer, and to embeddings."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["TextTower"]

TEXTS_PER_BATCH = 256
MARKS = 2
"""Tokens that stand for nothing in the text (start and end), at most."""

LOG = logging.getLogger("xtool_transformers")


class TextTower:
    """Embeds texts.

    Args:
        encoder: its name, for a warning.
        model: the whole model.
        tokenizer: its own.
        features: the model and token ids, with a mask of what is no padding, to features [T, D].
        context: tokens that the model reads of a text.
        padded: whether the model was trained on texts that are padded to the whole context, which it reads. It gets
            no mask then, as in its training.
    """

    def __init__(
        self,
        encoder: str,
        model: Any,
        tokenizer: Any,
        features: Callable[[Any, dict[str, Tensor]], Tensor],
        context: int,
        *,
        padded: bool,
    ) -> None:
        self.encoder = encoder
        self.model = model
        self.tokenizer = tokenizer
        self.context = context
        self._features = features
        self._padded = padded
        self._told = False

    def embed(self, texts: Sequence[str], device: torch.device) -> Tensor:
        """Unit vectors [T, D], float32. The first that is too long is said on the log."""
        self._tell_of_long(texts)
        batches = [texts[start : start + TEXTS_PER_BATCH] for start in range(0, len(texts), TEXTS_PER_BATCH)]
        features = [self._features(self.model, self.tokens(batch, device)) for batch in batches]
        return F.normalize(torch.cat(features).float(), dim=-1)

    def tokens(self, texts: Sequence[str], device: torch.device) -> dict[str, Tensor]:
        """``input_ids`` and, unless padding is read, ``attention_mask``, each [T, L]."""
        found = self.tokenizer(
            list(texts),
            padding="max_length" if self._padded else "longest",
            truncation=True,
            max_length=self.context,
            return_attention_mask=not self._padded,
            return_tensors="pt",
        )
        names = ("input_ids",) if self._padded else ("input_ids", "attention_mask")
        return {name: found[name].to(device) for name in names}

    def _tell_of_long(self, texts: Sequence[str]) -> None:
        for text in texts:
            # No token is shorter than a byte, so most prompts need no second look.
            if self._told or len(text.encode()) + MARKS <= self.context:
                continue
            ids = self.tokenizer(text, verbose=False)["input_ids"]
            lost = self.tokenizer.decode(ids[self.context - 1 :], skip_special_tokens=True).strip()
            if len(ids) > self.context and any(character.isalnum() for character in lost):
                self._told = True
                LOG.warning(
                    "%s reads %d tokens of a text: of %r, %r was cut off. Further texts are cut in silence.",
                    self.encoder, self.context, _shortened(text), _shortened(lost),
                )  # fmt: skip


def _shortened(text: str, limit: int = 60) -> str:
    return text if len(text) <= limit else f"{text[: limit // 2]} … {text[-limit // 2 :]}"
