"""What a metric is: a name with its unit and direction, how it is measured on one image, and how images are summed up.

A metric measures one :class:`~xtool.metrics.case.Case` into a value that JSON can hold, which a run records under the
metric's name, and sums the recorded values of all images up into one number. One that gives its values image by image
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
    """Whether it is measured only where ``--metric`` names it, as it needs masks, many passes or another library."""

    def measure(self, case: Case) -> Json | None:
        """One image's value, for its record; ``None`` where there is nothing to measure.

        A metric that every record's own entries (IoUs, rank, cost) are enough for records nothing, as here.
        """
        return None

    def versions(self) -> dict[str, str]:
        """Versions of what it computes with beyond the core's own dependencies, for a run's identity.

        Raises :class:`xtool.errors.SetupError` where a library is missing: asked before a run starts.
        """
        return {}

    def per_image(self, results: Results) -> Floats | None:
        """What each image adds to the number: [images], or [images, values] for :meth:`weighted` to make sense of.

        NaN where nothing was measured; ``None`` where no image was, and from a metric that is not made up of images.
        """
        return None

    def weighted(self, values: Floats, weights: Floats) -> Floats:
        """[W] the number of a data set under each of several weightings of its images.

        Args:
            values: from :meth:`per_image`; images that are NaN are left out.
            weights: [W, images] how often each image counts, as a bootstrap draws them.

        The weighted mean, unless a metric is none. NaN where every image that counts was left out.
        """
        measured = ~np.isnan(values)
        total = weights @ np.where(measured, values, 0.0)
        count = weights @ measured
        return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)

    def summarise(self, results: Results) -> float | None:
        """The number of a data set; ``None`` where no image gave any."""
        values = self.per_image(results)
        return None if values is None else float(self.weighted(values, np.ones((1, len(values))))[0])
