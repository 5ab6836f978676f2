"""From names to text embeddings: templates, synonyms, and their average.

A class with the names "kuvasz" and "sheepdog" and the templates "an image of a {label}." and "a photo of a {label}."
has four prompts; its embedding is the mean of their unit embeddings, scaled to unit length again.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from xtool.engine.work import TEXTS, part
from xtool.errors import SetupError, UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from xtool.contracts.protocols import Encoder, Understanding

__all__ = [
    "DEFAULT_TEMPLATES",
    "ENSEMBLE",
    "check_templates",
    "embed_labels",
    "embed_prompts",
    "fill",
    "frames_of",
    "is_determiner",
    "known_prompts",
    "prompts_for",
    "put",
    "resolve_templates",
    "understand",
    "with_article",
]

DEFAULT_TEMPLATES: tuple[str, ...] = ("an image of a {label}.",)
"""The VL-Score article's."""

ENSEMBLE = "ensemble"
"""In place of a template: the 80 ImageNet templates of the CLIP article."""

BATCH = 256

_SENTENCE = re.compile(
    r"""
      .*[.!?]$                                                    # it ends like one
    | (\w+\s){0,3}                                               # or speaks of a picture: "a blurry photo of …"
      (image|photo|photograph|picture|drawing|painting|sketch|rendering|view|close-up|depiction)\s(of|showing)\s
    | (this|that|there|here|it|these|those)(\s(is|are|was|were)|'s)\s   # or starts like one
    """,
    re.IGNORECASE | re.VERBOSE,
)
_DETERMINER = re.compile(
    r"(an?|the|this|that|these|those|my|your|his|her|its|our|their|some|any|several|many|few|both|no|"
    r"one|two|three|four|five|six|seven|eight|nine|ten|\d+)\s",
    re.IGNORECASE,
)
_AN = re.compile(
    r"(?!uni(?!n)|eu|ewe|us[eu]|ufo|ute|ukulele|one\b)[aeiou]|hour|honest|honou?r|heir|x-?ray", re.IGNORECASE
)
"""Names that take "an": by their first sound, not their first letter."""
_PLURAL = re.compile(
    r"\w+(?<!s)(?<!u)(?<!i)s|people|(wo|fire|police)?men|children|mice|geese|teeth|feet", re.IGNORECASE
)
_AFTER_NOUN = re.compile(r"\s(on|in|at|of|with|under|over|by|near|behind|from|and|or|that|who)\s", re.IGNORECASE)
_SLOT = re.compile(r"\b(an?)\s\{label\}", re.IGNORECASE)
_SLOT_FOR_NOTHING = re.compile(r"\s*(\b(an?|the)\s)?\{label\}", re.IGNORECASE)


def prompts_for(text: str, templates: Sequence[str] | None = DEFAULT_TEMPLATES) -> tuple[str, ...]:
    """What a model reads for a text that a person typed: the one rule of ``explain``, Python and the web app.

    Models learnt from captions, so a bare name goes into each template, with its article put right: ``"raccoon"`` and
    ``"a raccoon"`` give ``"an image of a raccoon."``, ``"owl"`` gives ``"an image of an owl."``, ``"foxes"``
    ``"an image of foxes."``. A text is read as it is where it ends like a sentence (full stop, ``!``, ``?``),
    speaks of a picture (``"a photo of …"``), starts like a sentence (``"there is …"``) or is not in Latin letters.

    Args:
        text: not empty.
        templates: with ``{label}``; ``None`` reads every text as it is.

    Raises:
        UsageError: a template without ``{label}``.
    """
    typed, frames = " ".join(text.split()), frames_of(text, templates)
    return (typed,) if frames is None else tuple(dict.fromkeys(put(frame, typed) for frame in frames))


def frames_of(text: str, templates: Sequence[str] | None) -> Sequence[str] | None:
    """The templates that :func:`prompts_for` puts a text into; ``None`` for one that is read as it is."""
    if templates is not None:
        check_templates(templates)
    typed = " ".join(text.split())
    return None if templates is None or _SENTENCE.match(typed) or not _latin(typed) else templates


def put(template: str, name: str) -> str:
    """``name`` in the place of the label; its own determiner, or the right article, replaces the template's.

    For an empty name the label goes with its article: "an image of."
    """
    if not name:
        return _SLOT_FOR_NOTHING.sub("", template)
    if not _SLOT.search(template):
        return template.replace("{label}", name)
    noun = _AFTER_NOUN.split(name, maxsplit=1)[0].split()[-1]
    if _DETERMINER.match(name) or _PLURAL.fullmatch(noun):
        return _SLOT.sub(lambda _: name, template)
    return _SLOT.sub(lambda _: with_article(name), template)


def with_article(name: str) -> str:
    """The name behind the right article: ``"an owl"``, ``"a dog"``."""
    return f"{'an' if _AN.match(name) else 'a'} {name}"


def is_determiner(text: str) -> bool:
    """Whether a text is an article or the like, without a noun: ``"a"``, ``"two"``."""
    return _DETERMINER.fullmatch(f"{text} ") is not None


def fill(templates: Sequence[str], names: Sequence[str]) -> list[str]:
    """Every name in every template, without repetition: all templates of the first name, then of the next."""
    check_templates(templates)
    return list(dict.fromkeys(template.replace("{label}", name) for name in names for template in templates))


def check_templates(templates: Sequence[str]) -> None:
    """Raise :class:`UsageError` for a template without ``{label}``, or for none at all."""
    if not templates:
        raise UsageError("at least one prompt template is needed")
    for template in templates:
        if "{label}" not in template:
            raise UsageError(f"the template {template!r} does not say where the label goes: write {{label}}")


def resolve_templates(templates: Sequence[str]) -> tuple[str, ...]:
    """Templates as the user gave them, with ``ensemble`` replaced by the 80 of CLIP; the default for none.

    Raises :class:`UsageError` for a template without ``{label}``, and :class:`SetupError` for the ensemble where
    open_clip is missing.
    """
    resolved: list[str] = []
    for template in templates or DEFAULT_TEMPLATES:
        resolved.extend(_ensemble() if template == ENSEMBLE else [template])
    check_templates(resolved)
    return tuple(dict.fromkeys(resolved))


def embed_labels(encoder: Encoder, labels: Sequence[tuple[str, ...]], templates: Sequence[str]) -> Tensor:
    """Unit embeddings [L, D] float32 of L labels, each given by all its names.

    A text that several labels share is encoded once; names that the encoder does not know are left out, as
    :func:`embed_prompts` does it. Raises :class:`UsageError` for a label without a name.
    """
    prompts = [fill(templates, names) for names in labels]
    for names, own in zip(labels, prompts, strict=True):
        if not own:
            raise UsageError(f"a label has no name: {names!r}")
    if not prompts:
        raise UsageError("there is no label to embed")
    return embed_prompts(encoder, prompts)


def embed_prompts(encoder: Encoder, prompts: Sequence[Sequence[str]]) -> Tensor:
    """Unit embeddings [L, D] float32: the mean of each label's prompts, of which there is at least one.

    Prompts that the encoder says it does not know stay out of the mean, unless it knows none of a label's.
    """
    import torch
    from torch.nn.functional import normalize

    prompts = known_prompts(encoder, prompts)
    texts = list(dict.fromkeys(text for own in prompts for text in own))
    row = {text: i for i, text in enumerate(texts)}
    with part(TEXTS):
        batches = [encoder.encode_text(texts[start : start + BATCH]) for start in range(0, len(texts), BATCH)]
    embeddings = torch.cat([batch.float() for batch in batches])
    means = [embeddings[[row[text] for text in own]].mean(dim=0) for own in prompts]
    return normalize(torch.stack(means), dim=-1)


def understand(
    encoder: Encoder, texts: Sequence[str], prompts: Sequence[Sequence[str]]
) -> tuple[Understanding | None, ...]:
    """What the encoder takes each text for, under the first of its prompts that it knows.

    ``None`` for each from an encoder that cannot say; see :class:`xtool.plugin.UnderstandsTexts`.
    """
    told = understood_prompts(encoder, prompts)
    if told is None:
        return (None,) * len(texts)
    chosen = (next((told[prompt] for prompt in own if told[prompt].known), told[own[0]]) for own in prompts)
    return tuple(replace(found, text=text) for text, found in zip(texts, chosen, strict=True))


def known_prompts(encoder: Encoder, prompts: Sequence[Sequence[str]]) -> Sequence[Sequence[str]]:
    """[T] those of each text's prompts that the encoder knows, or all where it knows none or cannot say."""
    told = understood_prompts(encoder, prompts)
    if told is None:
        return prompts
    return [[prompt for prompt in own if told[prompt].known] or own for own in prompts]


def understood_prompts(encoder: Encoder, prompts: Sequence[Sequence[str]]) -> dict[str, Understanding] | None:
    """What each prompt was taken for; ``None`` from an encoder that cannot say."""
    # Not by isinstance: a counted encoder hands on whatever its encoder has.
    ask: Callable[[Sequence[str]], Sequence[Understanding]] | None = getattr(encoder, "understand", None)
    if ask is None:
        return None
    texts = list(dict.fromkeys(prompt for own in prompts for prompt in own))
    return dict(zip(texts, ask(texts), strict=True))


def _latin(text: str) -> bool:
    letters = [letter for letter in text if letter.isalpha()]
    return not letters or unicodedata.name(letters[0], "").startswith("LATIN")


def _ensemble() -> list[str]:
    """CLIP's ImageNet templates, read from open_clip, which keeps them as functions of a name."""
    try:
        from open_clip import OPENAI_IMAGENET_TEMPLATES
    except ImportError as error:
        raise SetupError(
            f"the template {ENSEMBLE!r} takes the 80 templates of CLIP from open_clip: pip install open_clip_torch"
        ) from error
    return [template("{label}") for template in OPENAI_IMAGENET_TEMPLATES]
