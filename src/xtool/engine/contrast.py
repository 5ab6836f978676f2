"""Contrast prompts: where an image shows a text rather than others, "a dog" against "a cat".

The map is made for the direction of the text's embedding minus the mean of the background's, at length 1. A score of a
masked image with it is the difference of the plain scores, so that what speaks for target and background alike cancels
out. The difference is a text vector like any other, and every method takes it: by masks, by gradients, by weights. A
softmax over target and background would not be: it is no vector, so that only methods that score masked images could
use it; it needs a temperature that suits the encoder; and it saturates where one text wins everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import normalize

from xtool.engine.prompts import embed_prompts, prompts_for, understood_prompts

if TYPE_CHECKING:
    from torch import Tensor

    from xtool.contracts.protocols import Encoder

__all__ = ["SAME_MEANING", "contrasted", "knows"]

SAME_MEANING = 0.98
"""A background text with a higher cosine than this means the target: their difference would be noise."""


def contrasted(
    encoder: Encoder, texts: Sequence[str], embedded: Tensor, against: Sequence[str], templates: Sequence[str] | None
) -> tuple[Tensor, list[str]]:
    """Directions [T, D] of T texts against all the background texts that mean something else, and notes for people.

    Args:
        texts: [T] as people gave them.
        embedded: [T, D] their unit embeddings.
        against: the background texts; those that the encoder does not know, or that mean the text, are left out.
        templates: as for the texts.

    A text that has no background left keeps its own embedding, as does one that is not known.
    """
    prompts = [prompts_for(text, templates) for text in against]
    known = knows(encoder, prompts)
    notes = [f"Not against {text!r}: it is not known." for text, heard in zip(against, known, strict=True) if not heard]
    vectors = embed_prompts(encoder, prompts)
    background = [(text, vector) for text, vector, heard in zip(against, vectors, known, strict=True) if heard]
    rows = []
    heard = knows(encoder, [prompts_for(text, templates) if text.strip() else (text,) for text in texts])
    for text, target, known_text in zip(texts, embedded, heard, strict=True):
        if not known_text:
            rows.append(target)
            continue
        kept = [vector for other, vector in background if not _alike(text, target, other, vector)]
        notes += [
            f"Not against {other!r} for {text!r}: they mean the same."
            for other, vector in background
            if _alike(text, target, other, vector)
        ]
        rows.append(normalize(target - torch.stack(kept).mean(dim=0), dim=0) if kept else target)
    return torch.stack(rows), notes


def knows(encoder: Encoder, prompts: Sequence[Sequence[str]]) -> list[bool]:
    """[T] whether the encoder knows one of a text's prompts at all; one that cannot say knows all."""
    found = understood_prompts(encoder, prompts)
    return [found is None or any(found[prompt].known for prompt in own) for own in prompts]


def _alike(text: str, target: Tensor, other: str, vector: Tensor) -> bool:
    same_words = text.strip() and prompts_for(text.casefold()) == prompts_for(other.casefold())
    return bool(same_words) or float(target @ vector) > SAME_MEANING
