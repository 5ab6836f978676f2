"""Does the map depend on the text at all, or would any text give the same map?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xtool.metrics.metric import Metric, MetricInfo

if TYPE_CHECKING:
    from xtool.metrics.case import Case
    from xtool.metrics.results import Results

__all__ = ["Specificity", "map_correlation"]


class Specificity(Metric):
    """One minus the correlation of the label's map with that of a text that is not in the image.

    Where the data set names nothing absent, the distractor's map is taken.
    """

    info = MetricInfo(
        name="specificity",
        title="specificity",
        narrow="speci-\nficity",
        unit="score",
        direction="higher",
        summary="1 − correlation of the map with that of an absent text; near 0 where any text gives the same map.",
        control=True,
        detail=True,
    )

    shape = ()

    def measure(self, case: Case) -> float | None:
        other = case.absent or case.distractor
        if other is None:
            return None
        correlation = map_correlation(case.target.image_map.low, other.image_map.low)
        return None if correlation is None else 1 - correlation

    def per_image(self, results: Results) -> NDArray[np.float64] | None:
        return results.numbers(self.info.name)


def map_correlation(one: NDArray[Any], other: NDArray[Any]) -> float | None:
    """Pearson's correlation of two maps of the same shape; ``None`` where one is constant or not finite."""
    if not (_varies(one) and _varies(other)):
        return None
    first, second = (heat.astype(np.float64).ravel() - heat.mean(dtype=np.float64) for heat in (one, other))
    return float(first @ second / np.sqrt((first @ first) * (second @ second)))


def _varies(heat: NDArray[Any]) -> bool:
    """Whether a map differs from a constant by more than rounding."""
    return bool(np.isfinite(heat).all() and np.ptp(heat) > 1e-6 * np.abs(heat).max())
