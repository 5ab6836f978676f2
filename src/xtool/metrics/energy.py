"""The energy-based pointing game (Wang et al., Score-CAM, CVPRW 2020): how much of a map lies on the object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xtool.metrics.box_pixels import pixels_inside
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
    shape = ()

    def measure(self, case: Case) -> float:
        return energy_inside(case.target.image_map.full, case.sample.boxes)

    def per_image(self, results: Results) -> Floats | None:
        return results.numbers(self.info.name)


def energy_inside(full: NDArray[Any], boxes: ArrayLike) -> float:
    """The share in [0, 1] of the sum of a map [height, width] ≥ 0 inside any of the half-open boxes [M, 4].

    Where boxes overlap, each pixel counts once. A map that is 0 everywhere has no energy, which gives 0.
    """
    total = float(full.sum(dtype=np.float64))
    if total <= 0:
        return 0.0
    return float(full[pixels_inside(boxes, full.shape)].sum(dtype=np.float64)) / total
