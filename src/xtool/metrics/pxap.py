"""PxAP: pixel-wise average precision against true masks (Choe et al., CVPR 2020)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xtool.metrics.metric import Floats, Metric, MetricInfo
from xtool.metrics.wsol import opencv_version, resized_map, resized_mask

if TYPE_CHECKING:
    from xtool.metrics.case import Case
    from xtool.metrics.protocols import Choice
    from xtool.metrics.results import Results

__all__ = ["IGNORE", "THRESHOLDS", "PxAP", "average_precision", "pixel_counts"]

IGNORE = 255
"""Mask value of pixels that are neither object nor background."""

THRESHOLDS = np.arange(0, 1, 0.001)


class PxAP(Metric):
    """Precision and recall over all pixels of all images together."""

    info = MetricInfo(
        name="pxap",
        title="PxAP",
        unit="fraction",
        direction="higher",
        summary="Area under the precision-recall curve of pixels.",
        paper="Choe et al., Evaluating Weakly Supervised Object Localization Methods Right, CVPR 2020",
    )
    on_request = True
    shape = (2, len(THRESHOLDS) + 2)

    def measure(self, case: Case) -> list[list[int]] | None:
        """How many pixels of the object and of the background have each value."""
        if case.sample.open_mask is None:
            return None
        mask = resized_mask(case.sample.open_mask())
        counts: list[list[int]] = pixel_counts(resized_map(case.target.image_map), mask).tolist()
        return counts

    def keep(self, recorded: Floats, choice: Choice) -> Floats:
        """[1, 2, N + 2] the sums over the images, which is all that the area needs; none where nothing is recorded."""
        measured = ~np.isnan(recorded[:, 0, 0])
        return recorded[measured].sum(axis=0, keepdims=True) if measured.any() else recorded[:0]

    def versions(self) -> dict[str, str]:
        return {"opencv": opencv_version()}

    def summarise(self, results: Results) -> float | None:
        counts = results.of(self.info.name)
        return average_precision(counts.sum(axis=0)) if len(counts) else None


def pixel_counts(
    scores: NDArray[Any], mask: NDArray[Any], thresholds: NDArray[np.float64] = THRESHOLDS
) -> NDArray[np.int64]:
    """[2, N + 2] how many pixels of the object (row 0) and of the background (row 1) lie between N thresholds.

    ``scores`` lie in [0, 1]; ``mask`` has the same shape: bool, or 0, 1 and 255 (ignored).
    """
    if scores.shape != mask.shape:
        raise ValueError(f"scores {scores.shape} and mask {mask.shape} differ")
    # 1 falls into a bin of its own; the reference has one more above it, so that the first recall is 0.
    edges = np.append(thresholds, [1.0, 2.0, 3.0])
    return np.stack([np.histogram(scores[mask == kind], edges)[0] for kind in (1, 0)]).astype(np.int64)


def average_precision(counts: NDArray[Any]) -> float:
    """The area in [0, 1] from the sum of all images' :func:`pixel_counts`. NaN if no pixel belongs to an object."""
    true, false = counts[:, ::-1].cumsum(axis=1, dtype=np.float64)
    if true[-1] == 0:
        return float("nan")
    marked = true + false
    precision = np.divide(true, marked, out=np.zeros_like(true), where=marked > 0)
    return float((precision[1:] * np.diff(true / true[-1])).sum())
