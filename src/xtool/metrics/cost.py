"""What a map costs, as if its method had run alone: shared work is charged to everyone who needs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from xtool.metrics.metric import Metric, MetricInfo

if TYPE_CHECKING:
    from xtool.metrics.results import Results

__all__ = ["Forwards", "Seconds"]


class Seconds(Metric):
    """Median time: a first image that warms caches up does not count."""

    info = MetricInfo(
        name="seconds_per_image",
        title="seconds",
        narrow="sec-\nonds",
        unit="seconds",
        direction="lower",
        summary="Median time of one map, shared work included.",
    )

    def summarise(self, results: Results) -> float:
        return float(np.median(results.seconds))


class Forwards(Metric):
    """Mean number of images through the image tower."""

    info = MetricInfo(
        name="forwards_per_image",
        title="forwards",
        narrow="for-\nwards",
        unit="images",
        direction="lower",
        summary="Images through the encoder for one map.",
    )

    def summarise(self, results: Results) -> float:
        return float(results.forwards.mean())
