"""What a report must know of a metric to print it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["OPTIONAL_METRICS", "Direction", "MetricInfo"]

OPTIONAL_METRICS = ("pxap", "insertion", "deletion")
"""What ``xtool compare --metric`` measures on request; :mod:`xtool.optional_metrics` says how."""

Direction = Literal["higher", "lower"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricInfo:
    """A metric's name, its unit, and which way is better."""

    name: str
    unit: str
    """``"fraction"`` in [0, 1], ``"count"``, …"""
    direction: Direction
    summary: str
    """One line: what it says."""
    paper: str = ""

    @property
    def better(self) -> str:
        """``"higher is better"`` or ``"lower is better"``."""
        return f"{self.direction} is better"
