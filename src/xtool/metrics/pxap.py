"""PxAP: pixel-wise average precision against true masks (Choe et al., CVPR 2020)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xtool.metrics.image_map import ImageMap
from xtool.metrics.metric import MetricInfo
from xtool.metrics.wsol import resized_map, resized_mask

__all__ = ["IGNORE", "PxAP"]

IGNORE = 255
"""Mask value of pixels that are neither object nor background."""


class PxAP:
    """Histograms of the map's values on object and on background over a data set, and the area they give.

    Precision and recall are over all pixels of all images together, at thresholds 0, 0.001, … 0.999.
    """

    info = MetricInfo(
        name="pxap",
        unit="fraction",
        direction="higher",
        summary="Area under the precision-recall curve of pixels.",
        paper="Choe et al., Evaluating Weakly Supervised Object Localization Methods Right, CVPR 2020",
    )

    def __init__(self, thresholds: NDArray[np.float64] | None = None) -> None:
        cuts = np.arange(0, 1, 0.001) if thresholds is None else thresholds
        # 1 falls into a bin of its own; the reference has two more edges, so that the first recall is 0.
        self.edges = np.append(cuts, [1.0, 2.0, 3.0])
        self.reset()

    def reset(self) -> None:
        """Forget all images."""
        self.foreground = np.zeros(len(self.edges) - 1)
        self.background = np.zeros(len(self.edges) - 1)

    def update(self, image_map: ImageMap, mask: NDArray[Any]) -> None:
        """Add an image and its true mask [height, width]: bool, or 0, 1 and 255 (ignored).

        Raises :class:`xtool.plugin.SetupError` without OpenCV.
        """
        self.add(resized_map(image_map), resized_mask(mask))

    def add(self, scores: NDArray[Any], mask: NDArray[Any]) -> None:
        """Add scores in [0, 1] and a mask of the same shape."""
        if scores.shape != mask.shape:
            raise ValueError(f"scores {scores.shape} and mask {mask.shape} differ")
        self.foreground += np.histogram(scores[mask == 1], self.edges)[0]
        self.background += np.histogram(scores[mask == 0], self.edges)[0]

    def summary(self) -> float:
        """The area in [0, 1]. NaN where no pixel of any object was added."""
        true, false = self.foreground[::-1].cumsum(), self.background[::-1].cumsum()
        if true[-1] == 0:
            return float("nan")
        marked = true + false
        precision = np.divide(true, marked, out=np.zeros_like(true), where=marked > 0)
        return float((precision[1:] * np.diff(true / true[-1])).sum())
