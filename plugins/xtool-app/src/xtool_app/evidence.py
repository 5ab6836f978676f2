"""The evidence of a method for each text, as bars on one scale."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from xtool.plugin import Calibration

__all__ = ["EvidenceBar", "evidence_bars"]

MARGIN = 0.06
"""Of the scale's width, left free at both ends."""


@dataclass(frozen=True, slots=True)
class EvidenceBar:
    """One text's evidence. Places are fractions of the scale, from 0 at its left end to 1 at its right."""

    score: float
    start: float
    """Of the bar: where the verdict changes; 0 for a method that is not calibrated."""
    end: float
    """Of the bar: where the evidence is."""
    band: tuple[float, float] | None
    """Where people are told "unsure"; ``None`` for a method that is not calibrated."""


def evidence_bars(scores: Sequence[float], calibration: Calibration | None) -> list[EvidenceBar | None]:
    """Bars of several texts on the scale that they share; ``None`` for a score that is no number."""
    finite = [score for score in scores if math.isfinite(score)]
    turn = 0.0 if calibration is None else calibration.bar
    marks = [turn] if calibration is None else [turn, calibration.absent_below, calibration.present_above]
    low, high = min(finite + marks), max(finite + marks)
    width = (high - low) or 1.0
    low, width = low - MARGIN * width, width * (1 + 2 * MARGIN)

    def place(value: float) -> float:
        return (value - low) / width

    band = None if calibration is None else (place(calibration.absent_below), place(calibration.present_above))
    return [EvidenceBar(score, place(turn), place(score), band) if math.isfinite(score) else None for score in scores]
