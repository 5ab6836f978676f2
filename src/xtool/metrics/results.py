"""What a metric summarises: one method's recorded values over all images of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

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
    labels: NDArray[np.int32]
    """[images] what was looked for, as a number for each label."""
    ious: Floats
    """[images, deltas] best IoU of any predicted with any true box, at the thresholds of ``choice``."""
    ranks: NDArray[np.int32]
    """[images] rank of the true class, from 1; 0 where there are no classes to choose from."""
    seconds: Floats
    """[images] of one map, shared work charged in full."""
    forwards: Floats
    """[images] that went through the image tower for one map, likewise."""
    values: Mapping[str, Floats]
    """By metric, without those that were nowhere measured: what :meth:`xtool.metrics.metric.Metric.keep` keeps of the
    recorded values, mostly [images, ...], NaN where there is none."""

    def of(self, metric: str) -> Floats:
        """A metric's values, without the images where it was not measured."""
        values = self.values.get(metric, np.zeros(0))
        return values[~np.isnan(values.reshape(len(values), -1)).any(axis=1)] if len(values) else values

    def numbers(self, metric: str) -> Floats | None:
        """[images] or [images, ...] a metric's values, NaN where there is none; ``None`` if nowhere."""
        return self.values.get(metric)

    @cached_property
    def credit(self) -> Floats:
        """[images] how far each counts as found, in [0, 1]; see :meth:`LocalizationProtocol.credit`."""
        return self.protocol.credit_of(self.ious)
