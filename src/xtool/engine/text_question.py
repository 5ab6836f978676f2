"""What is asked about an image: texts as people type them, and what a method is given of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from xtool.contracts.protocols import Saliency
from xtool.engine.contrast import contrasted
from xtool.engine.probes import probe_texts
from xtool.engine.prompts import embed_prompts, prompts_for, resolve_templates, understand
from xtool.errors import UsageError

if TYPE_CHECKING:
    from xtool.contracts.protocols import Encoder

__all__ = ["TextQuestion", "read_texts"]


def read_texts(
    texts: str | Sequence[str], templates: Sequence[str] | None
) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Texts and their prompts. Raises :class:`UsageError` for no text, an empty one, or a template without a label."""
    wanted = (texts,) if isinstance(texts, str) else tuple(texts)
    if not wanted or not all(isinstance(text, str) and text.strip() for text in wanted):
        raise UsageError("give at least one text to look for, and none that is empty")
    chosen = None if templates is None else resolve_templates(templates)
    return wanted, tuple(prompts_for(text, chosen) for text in wanted)


class TextQuestion:
    """What a method is asked about T texts: their embeddings, those of the background taken away, and the probes."""

    def __init__(
        self,
        encoder: Encoder,
        texts: tuple[str, ...],
        prompts: tuple[tuple[str, ...], ...],
        against: tuple[str, ...],
        templates: Sequence[str] | None,
    ) -> None:
        embedded = embed_prompts(encoder, prompts)
        self.texts, self.prompts, self.against = texts, prompts, against
        self.asked = embedded
        """[T, D], or [2T, D] where there is a background: the texts, then the texts against it."""
        self.understood = understand(encoder, texts, prompts)
        self.known = np.array([found is None or found.known for found in self.understood])
        """[T] bool."""
        self.notes: list[str] = []
        """What is to be said of the background, for people."""
        self.probe_texts, self.probes = probe_texts(encoder, embedded, templates)
        """Other texts, and embeddings asked in the same way: a map that is like theirs hardly depends on its text."""
        if against:
            directions, self.notes = contrasted(encoder, texts, embedded, against, templates)
            self.asked = torch.cat([embedded, directions])
            self.probes, _ = contrasted(encoder, self.probe_texts, self.probes, against, templates)

    def answered(self, saliency: Saliency) -> Saliency:
        """The maps against the background, with the verdicts of the texts alone."""
        count = len(self.texts)
        return Saliency(
            saliency.maps[:, -count:],
            None if saliency.present is None else saliency.present[:, :count],
            None if saliency.scores is None else saliency.scores[:, :count],
        )
