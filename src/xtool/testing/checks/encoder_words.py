"""Checks of an encoder that says which words of a text mattered (:class:`xtool.plugin.ExplainsWords`)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xtool.contracts.protocols import ExplainsWords
from xtool.engine.encoders import modules_of
from xtool.engine.words import REMOVAL, words_in
from xtool.errors import UsageError, XtoolError
from xtool.testing.checks.encoder_subject import EncoderSubject
from xtool.testing.compare_maps import same
from xtool.testing.snapshot import Snapshot
from xtool.testing.verdict import CheckFailed, NotApplicable, require

TEXT = "an image of a dog."
TOO_LONG = " ".join(["dog"] * 300)
"""More than text towers read; what is behind the last token that they read must not be an error."""


def words_have_a_number_each(subject: EncoderSubject) -> None:
    """word_relevance returns one finite number for each word asked about, none for none, also of texts too long."""
    encoder = _explainer(subject)
    names = encoder.word_methods
    distinct = isinstance(names, tuple) and len(names) == len(set(names))
    require(distinct, f"word_methods is {names!r}, not a tuple of distinct names")
    require(REMOVAL not in names, f"{REMOVAL!r} is the core's own word method")
    for method in names:
        for text, spans in ((TEXT, words_in(TEXT)), (TEXT, []), (TOO_LONG, words_in(TOO_LONG))):
            found = _relevance(subject, text, spans, method)
            told = f"for {len(spans)} words of {text[:50]!r} {method} gives"
            require(len(found) == len(spans), f"{told} {len(found)} numbers")
            require(all(map(math.isfinite, found)), f"{told} NaN or infinite numbers")


def words_are_explained_alike_each_time(subject: EncoderSubject) -> None:
    """A word has the same relevance when it is asked about again, and when it is asked about alone."""
    spans = words_in(TEXT)
    for method in _explainer(subject).word_methods:
        first, again = (_numbers(_relevance(subject, TEXT, spans, method)) for _ in range(2))
        if len(first) != len(spans):
            raise NotApplicable("cannot be checked before words_have_a_number_each passes")
        require(same(first, again), f"{method} gives other numbers when it is asked again")
        alone = _numbers([_relevance(subject, TEXT, [span], method)[0] for span in spans])
        require(same(first, alone), f"{method}: a word's relevance changes with the other words that are asked about")


def words_are_explained_along_the_direction(subject: EncoderSubject) -> None:
    """Relevance has a sign and depends on the direction: it is not the same along a direction and its opposite."""
    spans = words_in(TEXT)
    for method in _explainer(subject).word_methods:
        there, back = (
            _numbers(_relevance(subject, TEXT, spans, method, sign * _direction(subject))) for sign in (1, -1)
        )
        require(bool(there.any() or back.any()), f"{method} gives every word the relevance 0")
        require(not same(there, back), f"{method} gives the same numbers along a direction and its opposite")


def explaining_words_leaves_no_trace(subject: EncoderSubject) -> None:
    """word_relevance works in inference mode too, and changes neither weights, flags, gradients nor embeddings."""
    encoder, spans = subject.encoder, words_in(TEXT)
    modules = nn.ModuleList(modules_of(encoder))
    embedded, before = encoder.encode_text([TEXT]), Snapshot(modules)
    for method in _explainer(subject).word_methods:
        _relevance(subject, TEXT, spans, method)
        with torch.inference_mode():
            _relevance(subject, TEXT, spans, method)
    changed = before.differences(Snapshot(modules))
    require(not changed, f"word_relevance changes, and does not restore: {', '.join(changed)}")
    require(same(embedded, encoder.encode_text([TEXT])), "after word_relevance the text has another embedding")


def unknown_word_methods_are_refused(subject: EncoderSubject) -> None:
    """A word method that the encoder does not have is refused with an XtoolError."""
    encoder = _explainer(subject)
    try:
        encoder.word_relevance(TEXT, words_in(TEXT), _direction(subject), "no-such-method")
    except XtoolError:
        return
    except Exception as error:
        raise CheckFailed(f"it ends in {type(error).__name__}: {error}; raise an xtool.errors.UsageError") from error
    require(False, "the word method no-such-method was accepted")


WORD_CHECKS = (
    words_have_a_number_each,
    words_are_explained_alike_each_time,
    words_are_explained_along_the_direction,
    explaining_words_leaves_no_trace,
    unknown_word_methods_are_refused,
)


def _explainer(subject: EncoderSubject) -> ExplainsWords:
    encoder = subject.encoder
    if not getattr(encoder, "word_methods", ()):
        raise NotApplicable("the encoder does not look for words inside its text tower")
    require(hasattr(encoder, "word_relevance"), "it has word_methods, but no word_relevance")
    return cast("ExplainsWords", encoder)


def _direction(subject: EncoderSubject) -> Tensor:
    """[D], the same each time."""
    generator = torch.Generator().manual_seed(0)
    return F.normalize(torch.randn(subject.encoder.info.embed_dim, generator=generator), dim=0)


def _relevance(
    subject: EncoderSubject,
    text: str,
    spans: Sequence[tuple[int, int]],
    method: str,
    direction: Tensor | None = None,
) -> list[float]:
    direction = _direction(subject) if direction is None else direction
    try:
        return list(_explainer(subject).word_relevance(text, spans, direction, method))
    except UsageError as refused:
        raise NotApplicable(str(refused)) from refused


def _numbers(relevance: Sequence[float]) -> Tensor:
    return torch.tensor([float(number) for number in relevance], dtype=torch.float64)
