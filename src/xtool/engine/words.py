"""Which words of a text mattered to how well it fits an image: one signed number for each.

By default a word's relevance is what the cosine of image and text loses without it: the text is read again with the
word left out, in the same templates. That is exact, says something about the model and nothing about a method, has a
sign, and needs nothing but ``encode_text``, so that every encoder has it. What it does not do is share out the cosine:
two words that say the same can each be left out for nothing. An encoder may have other methods, which look inside its
text tower (:class:`xtool.plugin.ExplainsWords`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from xtool.engine.prompts import embed_prompts, frames_of, is_determiner, known_prompts, prompts_for, put, with_article
from xtool.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from xtool.contracts.protocols import Encoder, ExplainsWords

__all__ = ["REMOVAL", "Word", "check_word_method", "word_relevance", "words_in"]

REMOVAL = "removal"
"""The method that every encoder has."""

_UNSPACED = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_PIECE = re.compile(rf"[{_UNSPACED}]|[^\s,;/{_UNSPACED}]+")
_ARTICLE = re.compile(r"\b(a)n?\s+$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a text, and how much it mattered."""

    word: str
    start: int
    """Where it begins in the text as it was given, in characters."""
    end: int
    relevance: float
    """Positive where the word makes the text fit the image better, negative where worse; in units of the cosine."""


def words_in(text: str) -> list[tuple[int, int]]:
    """Half-open spans of the words of a text, in characters.

    Words are what stands between blanks, commas and slashes, without the punctuation around it. Kana and Chinese
    characters, which are written without blanks, count one by one.
    """
    spans = []
    for piece in _PIECE.finditer(text):
        start, end = piece.span()
        while start < end and _is_punctuation(text[start]):
            start += 1
        while start < end and _is_punctuation(text[end - 1]):
            end -= 1
        if start < end:
            spans.append((start, end))
    return spans


def check_word_method(encoder: Encoder, method: str) -> None:
    """Raise :class:`UsageError` for a method of word relevance that the encoder does not have."""
    offered = (REMOVAL, *getattr(encoder, "word_methods", ()))
    if method not in offered:
        raise UsageError(f"{encoder.info.name} has no word relevance {method!r}; it has {', '.join(offered)}")


def word_relevance(
    encoder: Encoder, image: Tensor, texts: Sequence[str], templates: Sequence[str] | None, method: str = REMOVAL
) -> tuple[tuple[Word, ...], ...]:
    """[T] the words of each text with their relevance to one image, in the order of the text.

    The templates' own words are left out; what several templates give is one embedding, and the relevance is that of
    its cosine with the image.

    Args:
        encoder: any, for ``"removal"``; else one that has the method (:class:`xtool.plugin.ExplainsWords`).
        image: [D] unit embedding.
        texts: [T] as people gave them.
        templates: as for :func:`xtool.engine.prompts.prompts_for`.
        method: ``"removal"``, or one of the encoder's ``word_methods``.

    Raises:
        UsageError: a method that the encoder does not have, or a text tower that it cannot look into.
    """
    check_word_method(encoder, method)
    spans = [words_in(text) for text in texts]
    if method == REMOVAL:
        values = _removed(encoder, image, texts, spans, templates)
    else:
        values = [_looked_up(encoder, image, text, templates, method) for text in texts]
    return tuple(
        tuple(
            Word(text[start:end], start, end, value) for (start, end), value in zip(own_spans, own_values, strict=True)
        )
        for text, own_spans, own_values in zip(texts, spans, values, strict=True)
    )


def _removed(
    encoder: Encoder,
    image: Tensor,
    texts: Sequence[str],
    spans: Sequence[Sequence[tuple[int, int]]],
    templates: Sequence[str] | None,
) -> list[list[float]]:
    """cos(image, text) - cos(image, text without the word), for each word of each text."""
    prompts: list[tuple[str, ...]] = []
    for text, own in zip(texts, spans, strict=True):
        frames = frames_of(text, templates)
        shorter = [_without(text, start, end) for start, end in own]
        prompts.append(prompts_for(text, templates))
        prompts += [(left,) if frames is None else tuple(put(frame, left) for frame in frames) for left in shorter]
    cosines = iter((embed_prompts(encoder, prompts) @ image.float()).tolist())
    found = []
    for own in spans:
        whole = next(cosines)
        found.append([whole - next(cosines) for _ in own])
    return found


def _without(text: str, start: int, end: int) -> str:
    """The text without the word at this place; nothing if no more than an article is left of it."""
    before, after = text[:start], text[end:].lstrip()
    if (article := _ARTICLE.search(before)) and after and not _is_punctuation(after[0]):
        rest = with_article(after)
        before, after = before[: article.start()], article[1] + rest[1:]
    left = re.sub(r"\s+(?=[,.;:!?])", "", " ".join(f"{before} {after}".split())).strip(" ,;:/")
    return "" if is_determiner(left) else left


def _looked_up(encoder: Encoder, image: Tensor, text: str, templates: Sequence[str] | None, method: str) -> list[float]:
    """The encoder's own relevance of each word, summed over the prompts that the text is put into.

    With e the mean m of K unit embeddings at length 1 and s = image · e, the derivative of s by each of them is
    (image - s e) / (K |m|): in this direction it is looked at how the prompt's words act.
    """
    typed, frames = " ".join(text.split()), frames_of(text, templates)
    tails = {typed: ""} if frames is None else {put(frame, typed): frame.rpartition("{label}")[2] for frame in frames}
    (prompts,) = known_prompts(encoder, [tuple(tails)])
    mean = encoder.encode_text(prompts).float().mean(dim=0)
    embedded = mean / mean.norm()
    direction = (image - (image @ embedded) * embedded) / (len(prompts) * mean.norm())
    spans = words_in(typed)
    totals = [0.0] * len(spans)
    for prompt in prompts:
        shift = len(prompt) - len(tails[prompt]) - len(typed)
        placed = [(start + shift, end + shift) for start, end in spans]
        values = cast("ExplainsWords", encoder).word_relevance(prompt, placed, direction, method)
        totals = [total + value for total, value in zip(totals, values, strict=True)]
    return totals


def _is_punctuation(sign: str) -> bool:
    return unicodedata.category(sign).startswith("P")
