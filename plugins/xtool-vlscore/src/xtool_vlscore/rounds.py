"""Progressive scoring: the most important maps first, twice as many each round, until the boxes no longer change."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from xtool.plugin import MaskedEmbeddings, box_iou, box_sweep, largest

Box = NDArray[np.int64]

FIRST = 8
"""Maps of each text in the first round."""
BOX_AT = 0.3
"""Fraction of a map's maximum that its box is drawn at to see whether it changes; the best one on ``scenes:val``."""

Embed = Callable[[Tensor, Tensor, Tensor | None], MaskedEmbeddings]
"""Embed the images of these rows [R] under their wanted [R, C] maps; base embeddings [R, D] where they are known."""
Draw = Callable[[MaskedEmbeddings, Tensor], Tensor]
"""The maps [B, T, h, w] from the masked embeddings and the chosen [B, T, C] feature maps."""


def score_in_rounds(
    place: Tensor, most: int, stop_at: float, size: tuple[int, int], embed: Embed, draw: Draw
) -> tuple[MaskedEmbeddings, Tensor]:
    """Masked embeddings, and which maps [B, T, C] were scored for each text before its box settled.

    A text is settled when its boxes after two successive rounds overlap by ``stop_at``; when that is does not depend
    on the other texts. An image is embedded under a map once for all of its texts.

    Args:
        place: [B, T, C] of each map in the text's order of importance, from 0.
        most: maps to score for a text at most.
        stop_at: IoU in (0, 1].
        size: height and width that maps are upsampled to before their boxes are drawn.
        embed: embeds images under maps.
        draw: makes saliency maps.
    """
    most = min(most, place.shape[2])
    count = min(FIRST, most)
    chosen = place < count
    known = chosen.any(dim=1)  # [B, C]
    first = embed(torch.arange(len(place), device=place.device), known, None)
    # A copy to be filled in: what was embedded may be kept for others.
    masked = MaskedEmbeddings(first.embeddings.clone(), first.base, first.alive.clone())
    if count == most:
        return masked, chosen
    boxes = _boxes(draw(masked, chosen), size)
    moving = torch.ones(place.shape[:2], dtype=torch.bool, device=place.device)
    while count < most and moving.any():
        count = min(2 * count, most)
        chosen = chosen | ((place < count) & moving[:, :, None])
        new = chosen.any(dim=1) & ~known
        rows = new.any(dim=1).nonzero().squeeze(1)
        if len(rows):
            more = embed(rows, new[rows], masked.base[rows])
            masked.embeddings[rows] = torch.where(new[rows, :, None], more.embeddings, masked.embeddings[rows])
            masked.alive[rows] |= more.alive
            known |= new
        before, boxes = boxes, _boxes(draw(masked, chosen), size)
        moving &= (_overlaps(before, boxes) < stop_at).to(place.device)
    return masked, chosen


def _boxes(maps: Tensor, size: tuple[int, int]) -> list[list[Box]]:
    """Of each image and text the box of the largest component, [1, 4], or [0, 4] where there is none."""
    full = F.interpolate(maps, size, mode="bilinear", align_corners=False).cpu().numpy()
    return [[largest(box_sweep(heat, [BOX_AT]), 0) for heat in texts] for texts in full]


def _overlaps(before: list[list[Box]], after: list[list[Box]]) -> Tensor:
    """[B, T] IoU of the boxes; 1 where there is none either time, 0 where there is one once."""
    return torch.tensor(
        [
            [
                float(box_iou(old, new)[0, 0]) if len(old) and len(new) else float(len(old) == len(new))
                for old, new in row
            ]
            for row in (zip(olds, news, strict=True) for olds, news in zip(before, after, strict=True))
        ],
        dtype=torch.float64,
    )
