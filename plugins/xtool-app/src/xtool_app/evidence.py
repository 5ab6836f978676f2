"""The evidence of a method for each text, as bars on one scale."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Bounds", "EvidenceBar", "evidence_bars"]

MARGIN = 0.06
"""Of the scale's width, left free at both ends."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Where a calibrated method's verdict changes: absent below, present above, unsure between."""

    absent_below: float
    present_above: float


@dataclass(frozen=True, slots=True)
class EvidenceBar:
    """One text's evidence. Places are fractions of the scale, from 0 at its left end to 1 at its right."""

    score: float
    start: float
    """Of the bar: where the evidence is 0."""
    end: float
    """Of the bar: where the evidence is."""
    band: tuple[float, float] | None
    """Where nothing can be said; ``None`` for a method that is not calibrated."""


def evidence_bars(scores: Sequence[float], bounds: Bounds | None) -> list[EvidenceBar | None]:
    """Bars of several texts on the scale that they share; ``None`` for a score that is no number."""
    finite = [score for score in scores if math.isfinite(score)]
    marks = [] if bounds is None else [bounds.absent_below, bounds.present_above]
    low, high = min([0.0, *finite, *marks]), max([0.0, *finite, *marks])
    width = (high - low) or 1.0
    low, width = low - MARGIN * width, width * (1 + 2 * MARGIN)

    def place(value: float) -> float:
        return (value - low) / width

    band = None if bounds is None else (place(bounds.absent_below), place(bounds.present_above))
    return [EvidenceBar(score, place(0.0), place(score), band) if math.isfinite(score) else None for score in scores]
