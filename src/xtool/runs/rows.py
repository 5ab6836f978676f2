"""What a run says of one method: its row of numbers, and what these were made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from xtool.metrics.results import Results
from xtool.runs.images import ImageResults

__all__ = ["MethodResult", "Row"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One method's numbers. Fractions lie in [0, 1]."""

    method: str
    images: int
    threshold: float | None
    """The threshold behind this row: the fixed one, or the best of the sweep; ``None`` for ``maxboxaccv2``, which has
    one for each of its three IoU levels."""
    values: Mapping[str, float | None]
    """By metric, in the order of :data:`xtool.metrics.registry.METRICS`; ``None`` where the data set or the method
    gives no such number, or nobody asked for it."""
    curve: tuple[float, ...] = field(repr=False)
    """GT-known at each threshold of the sweep, averaged over the protocol's IoU levels."""
    iou_curve: tuple[float, ...] = field(repr=False)
    """Box IoU at each threshold of the sweep."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodResult:
    """Everything about one method."""

    method: str
    row: Row
    threshold: float
    """The row's threshold; where the protocol has one for each IoU level, that of 0.5."""
    results: Results
    indices: NDArray[np.int64]
    """[images] which sample each entry of ``results`` is of."""
    images: ImageResults
    several: bool
    """Whether any image has more than one true box."""
