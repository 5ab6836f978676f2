"""One text's saliency map of one image, as the metrics take it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xtool.image.geometry import Geometry

__all__ = ["ImageMap", "min_max"]

Map = NDArray[np.float32]


@dataclass(frozen=True)
class ImageMap:
    """A raw map and how the model input lies in the image; everything else is computed once, when needed."""

    low: NDArray[Any]
    """[h, w] raw: neither normalised nor resized; it covers the model input."""
    geometry: Geometry

    @cached_property
    def normalised(self) -> Map:
        """[h, w] in [0, 1]; all 0 for a map that is constant or not finite."""
        return min_max(self.low)

    @cached_property
    def full(self) -> Map:
        """[height, width] the normalised map in the image. What the model did not see is 0."""
        return self.geometry.map_to_image(self.normalised)


def min_max(values: NDArray[Any]) -> Map:
    """Scale to [0, 1] in float32; all 0 where the values are constant or one of them is NaN or infinite."""
    low, high = values.min(), values.max()
    span = float(high) - float(low)
    if not np.isfinite(span) or span <= 0:
        return np.zeros(values.shape, np.float32)
    scaled: Map = ((values.astype(np.float64) - float(low)) / span).astype(np.float32)
    return scaled
