"""What the methods explain: how well an image matches a text."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from xtool.plugin import Encoder, UsageError, hooked, matches
from xtool_cam.config import Score


def match_scores(encoder: Encoder, pixels: Tensor, text: Tensor, score: Score) -> Tensor:
    """Scores [B, T] float32 of pixels [B, 3, H, W] against unit text embeddings, in one forward pass.

    Texts are [T, D], or [B, T, D] where each image has its own. Raises as :func:`embed_for`.
    """
    return torch.stack(matches(embed_for(score, encoder, pixels)[1], text), dim=1)


def embed_for(score: Score, encoder: Encoder, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """The unit embeddings [B, D] of pixels [B, 3, H, W], and what a text's product with is its score, from one pass.

    ``cosine`` is f·t/‖f‖ and ``dot`` is f·t, with f the image embedding. Their gradients differ by the Jacobian of the
    normalisation: that of the cosine is ``(t − cos·f/‖f‖)/‖f‖``, so it leaves out what would only make f longer.
    ``dot`` keeps it, and with it a share that is the same for every text.

    Raises:
        UsageError: ``dot`` on an encoder whose ``visual`` does not return the embedding before it is normalised.
    """
    if score == "cosine":
        unit = encoder.encode_image(pixels).float()
        return unit, unit
    outputs: list[Any] = []
    with hooked(encoder.visual, outputs.append):
        unit = encoder.encode_image(pixels).float()
    raw = _raw_embedding(outputs, unit)
    if raw is None:
        raise UsageError(
            f"score=dot needs the image embedding before it is normalised, and {encoder.info.name}'s image tower does "
            "not return it; use score=cosine"
        )
    return unit, raw


def _raw_embedding(outputs: list[Any], unit: Tensor) -> Tensor | None:
    """The tower's one output [B, D], if it points where the unit embeddings do."""
    if len(outputs) != 1:
        return None
    raw = outputs[0][0] if isinstance(outputs[0], tuple) else outputs[0]  # some towers return (embedding, tokens)
    if not isinstance(raw, Tensor) or raw.shape != unit.shape:
        return None
    raw = raw.float()
    return raw if bool((F.cosine_similarity(raw.detach(), unit.detach()) > 0.99).all()) else None
