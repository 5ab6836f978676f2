"""What of a text a tokenizer does not pass on, because the model's context is too short."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

LOG = logging.getLogger("xtool_clip")

MARKS = 4
"""Tokens that stand for nothing in the text (start, end, one for the class, one for the first space), at most."""


class ContextWatch:
    """Warns, once for each encoder, that a text was cut.

    Args:
        encoder: name of the encoder, for the warning.
        tokenizer: texts to token ids [T, context length].
    """

    def __init__(self, encoder: str, tokenizer: Callable[[list[str]], Tensor]) -> None:
        self.encoder = encoder
        self.tokenizer = tokenizer
        self.told = False

    def __call__(self, texts: Sequence[str], tokens: Tensor) -> None:
        """Look at texts, and their tokens [T, context length], as they are embedded."""
        if self.told:
            return
        for text in texts:
            # No token is shorter than a byte, so most prompts need no second look.
            if len(text.encode()) + MARKS > tokens.shape[1] and (lost := cut_off(self.tokenizer, text)):
                self.told = True
                LOG.warning(
                    "%s reads %d tokens of a text: of %r, %r was cut off. Further texts are cut in silence.",
                    self.encoder, tokens.shape[1], _shortened(text), _shortened(lost),
                )  # fmt: skip
                return


def cut_off(tokenizer: Callable[[list[str]], Tensor], text: str) -> str:
    """The end of a text that changes nothing in its tokens, because they are full; empty where every word counts.

    The tokenizer is taken as it is, whatever library it is from: a text is full if another word would not change its
    tokens, and its last letter that counts is found by halving.
    """
    whole = tokenizer([text])

    def is_enough(length: int) -> bool:
        return torch.equal(tokenizer([text[:length]]), whole)

    if not torch.equal(tokenizer([f"{text} more"]), whole):
        return ""
    short, enough = 0, len(text)
    while enough - short > 1:
        middle = (short + enough) // 2
        short, enough = (short, middle) if is_enough(middle) else (middle, enough)
    lost = text[enough:].strip()
    return lost if any(character.isalnum() for character in lost) else ""


def _shortened(text: str, limit: int = 60) -> str:
    return text if len(text) <= limit else f"{text[: limit // 2]} … {text[-limit // 2 :]}"
