"""The energy-based pointing game (Wang et al., Score-CAM, CVPRW 2020): how much of a map lies on the object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xtool.metrics.metric import Floats, Metric, MetricInfo

if TYPE_CHECKING:
    from xtool.metrics.case import Case
    from xtool.metrics.results import Results

__all__ = ["EnergyPointing", "energy_inside"]


class EnergyPointing(Metric):
    """The normalised map's sum inside the true boxes, over its whole sum."""

    info = MetricInfo(
        name="energy",
        title="energy",
        unit="fraction",
        direction="higher",
        summary="Share of the normalised map's sum that lies inside the true boxes.",
        paper="Wang et al., Score-CAM: Score-Weighted Visual Explanations for CNNs, CVPR Workshops 2020",
    )
    on_request = True

    def measure(self, case: Case) -> float:
        return energy_inside(case.target.image_map.full, case.sample.boxes)

    def per_image(self, results: Results) -> Floats | None:
        return results.numbers(self.info.name)


def energy_inside(full: NDArray[Any], boxes: ArrayLike) -> float:
    """The share in [0, 1] of the sum of a map [height, width] ≥ 0 inside any of the half-open boxes [M, 4].

    A box contains the pixels whose centres it contains; where boxes overlap, each pixel counts once. A map that is 0
    everywhere has no energy, which gives 0.
    """
    total = float(full.sum(dtype=np.float64))
    if total <= 0:
        return 0.0
    inside = np.zeros(full.shape, bool)
    for x0, y0, x1, y1 in np.ceil(np.asarray(boxes, np.float64).reshape(-1, 4) - 0.5).clip(0).astype(int).tolist():
        inside[y0:y1, x0:x1] = True
    return float(full[inside].sum(dtype=np.float64)) / total
