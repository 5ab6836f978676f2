"""What a table or a page must know of a metric to print it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Direction", "MetricInfo", "Unit"]

Direction = Literal["higher", "lower"]
Unit = Literal["fraction", "score", "boxes", "seconds", "images"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricInfo:
    """A metric's name, its unit, and which way is better."""

    name: str
    """In records, in JSON, and as ``--metric NAME``."""
    title: str
    """In the heading of a column, without its unit."""
    narrow: str = ""
    """The title cut to lines of at most six letters, for narrow terminals; by default the title itself."""
    unit: Unit
    """``"fraction"`` lies in [0, 1] and is shown in percent."""
    direction: Direction
    summary: str
    """One line: what it says."""
    paper: str = ""
    control: bool = False
    """Whether it checks a claim rather than ranks methods, so that no value is marked as the best."""
    detail: bool = False
    """Whether it is shown only on pages and in JSON, as a terminal's table has no room for everything."""

    @property
    def better(self) -> str:
        """``"higher is better"`` or ``"lower is better"``."""
        return f"{self.direction} is better"
