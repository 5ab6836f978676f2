"""What a metric summarises: one method's recorded values over all images of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xtool.metrics.protocols import Choice, LocalizationProtocol

__all__ = ["Results"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Results:
    """One entry per image, in the order of the records."""

    protocol: LocalizationProtocol
    choice: Choice
    """The thresholds that apply to this method, and their accuracy."""
    labels: Sequence[str]
    """What was looked for."""
    ious: Floats
    """[images, thresholds] best IoU of any predicted with any true box."""
    ranks: Sequence[int | None]
    """Rank of the true class, from 1; ``None`` where there are no classes to choose from."""
    seconds: Floats
    """[images] of one map, shared work charged in full."""
    forwards: Floats
    """[images] that went through the image tower for one map, likewise."""
    values: Mapping[str, Sequence[Any]]
    """By metric: each image's recorded value, lists as arrays; ``None`` where it was not measured."""

    def of(self, metric: str) -> list[Any]:
        """A metric's recorded values, without the images where it was not measured."""
        return [value for value in self.values.get(metric, ()) if value is not None]

    def numbers(self, metric: str) -> Floats | None:
        """[images] or [images, values] a metric's recorded values, NaN where there is none; ``None`` if nowhere."""
        measured = self.of(metric)
        if not measured:
            return None
        missing = np.full(np.shape(measured[0]), np.nan)
        return np.array([missing if value is None else value for value in self.values[metric]], np.float64)

    @cached_property
    def credit(self) -> Floats:
        """[images] how far each counts as found, in [0, 1]; see :meth:`LocalizationProtocol.credit`."""
        return self.protocol.credit(self.ious, self.choice)
