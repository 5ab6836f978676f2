"""From names to text embeddings: templates, synonyms, and their average.

A class with the names "kuvasz" and "sheepdog" and the templates "an image of a {label}." and "a photo of a {label}."
has four prompts; its embedding is the mean of their unit embeddings, scaled to unit length again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from xtool.engine.work import TEXTS, part
from xtool.errors import SetupError, UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from xtool.contracts.protocols import Encoder

__all__ = ["DEFAULT_TEMPLATES", "ENSEMBLE", "check_templates", "embed_labels", "fill", "resolve_templates"]

DEFAULT_TEMPLATES: tuple[str, ...] = ("an image of a {label}.",)
"""The VL-Score article's."""

ENSEMBLE = "ensemble"
"""In place of a template: the 80 ImageNet templates of the CLIP article."""

BATCH = 256


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

    A text that several labels share is encoded once. Raises :class:`UsageError` for a label without a name.
    """
    import torch
    from torch.nn.functional import normalize

    prompts = [fill(templates, names) for names in labels]
    for names, own in zip(labels, prompts, strict=True):
        if not own:
            raise UsageError(f"a label has no name: {names!r}")
    texts = list(dict.fromkeys(text for own in prompts for text in own))
    row = {text: i for i, text in enumerate(texts)}
    with part(TEXTS):
        batches = [encoder.encode_text(texts[start : start + BATCH]) for start in range(0, len(texts), BATCH)]
    if not batches:
        raise UsageError("there is no label to embed")
    embeddings = torch.cat([batch.float() for batch in batches])
    means = [embeddings[[row[text] for text in own]].mean(dim=0) for own in prompts]
    return normalize(torch.stack(means), dim=-1)


def _ensemble() -> list[str]:
    """CLIP's ImageNet templates, read from open_clip, which keeps them as functions of a name."""
    try:
        from open_clip import OPENAI_IMAGENET_TEMPLATES
    except ImportError as error:
        raise SetupError(
            f"the template {ENSEMBLE!r} takes the 80 templates of CLIP from open_clip: pip install xtool-clip"
        ) from error
    return [template("{label}") for template in OPENAI_IMAGENET_TEMPLATES]
