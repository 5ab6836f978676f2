"""The text-swap control: does the map follow the text at all?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from xtool.metrics.metric import Floats, Metric, MetricInfo

if TYPE_CHECKING:
    from xtool.metrics.case import Case
    from xtool.metrics.protocols import Choice
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

    shape = (None,)

    def measure(self, case: Case) -> list[float] | None:
        """Best IoU at every threshold of the protocol."""
        if case.distractor is None:
            return None
        ious: list[float] = case.protocol.best_ious(case.distractor.image_map, case.sample.boxes).tolist()
        return ious

    def keep(self, recorded: Floats, choice: Choice) -> Floats:
        """Those at the chosen thresholds."""
        return recorded[:, list(choice.indices)]

    def per_image(self, results: Results) -> Floats | None:
        ious = results.numbers(self.info.name)
        if ious is None:
            return None
        return np.where(np.isnan(ious).any(axis=1), np.nan, results.protocol.credit_of(ious))
