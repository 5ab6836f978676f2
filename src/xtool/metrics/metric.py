"""What a metric is: a name with its unit and direction, how one image is measured, and how images are summarised.

A metric measures one :class:`~xtool.metrics.case.Case` into a value that JSON can hold, which a run records under the
metric's name, and summarises the recorded values of all images as one number. A metric whose values are per image
has an interval and can be compared between methods on the same images.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from xtool.metrics.info import MetricInfo

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xtool.metrics.case import Case
    from xtool.metrics.protocols import Choice
    from xtool.metrics.results import Results

__all__ = ["Floats", "Json", "Metric", "MetricInfo"]

Json: TypeAlias = "bool | int | float | Sequence[Json]"
"""What a metric records of one image."""


Floats = NDArray[np.float64]


class Metric:
    """One metric. A new one is a file with a subclass, and an entry in :data:`xtool.metrics.registry.METRICS`.

    A subclass has either :meth:`per_image` or its own :meth:`summarise`.
    """

    info: ClassVar[MetricInfo]
    on_request: ClassVar[bool] = False
    """Whether it is measured only if ``--metric`` names it, as it needs masks, many passes or another library."""
    shape: ClassVar[tuple[int | None, ...] | None] = None
    """Of the numbers that :meth:`measure` records of one image, ``()`` for a single one; ``None`` within it stands for
    the protocol's thresholds. ``None`` alone: it records nothing."""

    runs_the_encoder: ClassVar[bool] = False
    """Whether measuring takes passes, and so must wait for methods that use the encoder."""

    def measure(self, case: Case) -> Json | None:
        """One image's value, for its record; ``None`` where there is nothing to measure.

        A metric that needs only the record's own entries (IoUs, rank, cost) records nothing, as here.
        """
        return None

    def versions(self) -> dict[str, str]:
        """Versions of what it computes with beyond the core's own dependencies, for a run's identity.

        Raises :class:`xtool.errors.SetupError` where a library is missing: asked before a run starts.
        """
        return {}

    def keep(self, recorded: Floats, choice: Choice) -> Floats:
        """What a summary holds of the recorded values [N, ...] of some images, NaN where there is none: all, as here.

        Memory is what a metric must care for that records much. What it makes of some images is put after what it
        made of those before.
        """
        return recorded

    def per_image(self, results: Results) -> Floats | None:
        """[images] values whose mean is the number of the data set, NaN where nothing was measured.

        ``None`` where nothing was measured at all, and from a metric that is not made up of values of single images:
        such a number has no interval.
        """
        return None

    def summarise(self, results: Results) -> float | None:
        """The number of a data set; ``None`` where no image gave any."""
        values = self.per_image(results)
        return None if values is None else float(np.nanmean(values))
