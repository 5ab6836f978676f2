"""Texts that a map is compared with, to see whether it depends on the text at all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from xtool.engine.contrast import knows
from xtool.engine.prompts import embed_prompts, prompts_for

if TYPE_CHECKING:
    from torch import Tensor

    from xtool.contracts.protocols import Encoder

__all__ = ["probe_texts"]

NONSENSE = ("", "xqzvkj")
"""Nothing, and letters without a meaning."""
THINGS = ("accordion", "submarine", "volcano", "snowmobile", "zebra")
"""Each is in hardly any picture, and a class of ImageNet, so that classifiers know it."""
ASKED = 2
"""How many things are used: those least like what people look for."""


def probe_texts(encoder: Encoder, embedded: Tensor, templates: Sequence[str] | None) -> tuple[list[str], Tensor]:
    """Texts that are not in the picture, and their unit embeddings [K, D].

    An empty text and random letters for an encoder that embeds whatever it is given, and things that it knows.

    Args:
        embedded: [T, D] the texts that people look for.
        templates: as for these.
    """
    prompts = [prompts_for(thing, templates) for thing in THINGS]
    known = [row for row, heard in enumerate(knows(encoder, prompts)) if heard]
    vectors = embed_prompts(encoder, [prompts[row] for row in known]) if known else embedded[:0]
    chosen = (vectors @ embedded.T).amax(dim=1).argsort()[:ASKED].tolist()
    texts = [THINGS[known[row]] for row in chosen]
    if hasattr(encoder, "understand") or hasattr(encoder, "nearest"):  # its texts are things, or not known
        return texts, vectors[chosen]
    nonsense = embed_prompts(encoder, [(text,) for text in NONSENSE])
    return [*NONSENSE, *texts], torch.cat([nonsense, vectors[chosen]])
