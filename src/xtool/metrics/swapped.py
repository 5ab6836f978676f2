"""The text-swap control: does the map follow the text at all?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from xtool.metrics.metric import Metric, MetricInfo

if TYPE_CHECKING:
    from xtool.metrics.case import Case
    from xtool.metrics.results import Results

__all__ = ["Swapped"]


class Swapped(Metric):
    """GT-known of the distractor's map against the label's boxes, at the threshold chosen for the label's maps."""

    info = MetricInfo(
        name="swapped",
        title="swapped",
        narrow="swap-\nped",
        unit="fraction",
        direction="lower",
        summary="GT-known when the map is made for another thing in the image; low where the text matters.",
        control=True,
    )

    def measure(self, case: Case) -> list[float] | None:
        """Best IoU at every threshold of the protocol."""
        if case.distractor is None:
            return None
        ious: list[float] = case.protocol.best_ious(case.distractor.image_map, case.sample.boxes).tolist()
        return ious

    def summarise(self, results: Results) -> float | None:
        ious = results.of(self.info.name)
        return float(results.protocol.credit(np.stack(ious), results.choice).mean()) if ious else None
