"""The pointing game as it is published: with a margin of 15 pixels, and the mean over classes.

A map hits if any pixel of the object lies less than 15 pixels from its maximum, as TorchRay plays the game of Zhang et
al. (ECCV 2016). Objects are boxes on Pascal VOC and masks on COCO, which are two games. The difficult ones are images
in which the object fills less than a quarter and in which there is something else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from xtool.metrics.box_pixels import pixels_inside
from xtool.metrics.metric import Floats, Metric, MetricInfo
from xtool.metrics.pointing import TOLERANCE, points_at_mask

if TYPE_CHECKING:
    from xtool.metrics.case import Case
    from xtool.metrics.results import Results

__all__ = ["Pointing15", "Pointing15Difficult", "Pointing15Mask", "Pointing15MaskDifficult", "class_mean_values"]

SMALL = 0.25
"""A difficult object fills less than this share of the image."""

PAPER = "Zhang et al., Top-down Neural Attention by Excitation Backprop, ECCV 2016"


class Pointing15(Metric):
    """All samples, against their boxes."""

    info: ClassVar[MetricInfo] = MetricInfo(
        name="pointing_15",
        title="pointing 15 px",
        narrow="point.\n15 px",
        unit="fraction",
        direction="higher",
        summary="The map's maximum is less than 15 pixels from a true box; mean over classes.",
        paper=PAPER,
    )
    on_request = True
    shape = ()
    masks: ClassVar[bool] = False
    """Whether objects are true masks; samples without one are left out."""
    difficult: ClassVar[bool] = False
    """Whether only difficult samples count."""

    def measure(self, case: Case) -> bool | None:
        sample, full = case.sample, case.target.image_map.full
        if self.difficult and sample.distractor is None:
            return None
        if not self.masks:
            inside = pixels_inside(sample.boxes, full.shape)
        elif sample.open_mask is not None:
            inside = sample.open_mask() == 1
        else:
            return None
        if self.difficult and inside.mean() >= SMALL:
            return None
        return points_at_mask(full, inside, TOLERANCE)

    def per_image(self, results: Results) -> Floats | None:
        hits = results.numbers(self.info.name)
        return None if hits is None else class_mean_values(hits, results.labels)


class Pointing15Difficult(Pointing15):
    """Difficult samples, against their boxes."""

    info = MetricInfo(
        name="pointing_15_difficult",
        title="pointing 15 px, difficult",
        narrow="point.\n15 px\ndiff.",
        unit="fraction",
        direction="higher",
        summary="pointing_15 where the boxes fill less than a quarter of the image and something else is in it.",
        paper=PAPER,
    )
    difficult = True


class Pointing15Mask(Pointing15):
    """All samples with masks."""

    info = MetricInfo(
        name="pointing_15_mask",
        title="pointing 15 px, mask",
        narrow="point.\n15 px\nmask",
        unit="fraction",
        direction="higher",
        summary="The map's maximum is less than 15 pixels from the true mask; mean over classes.",
        paper=PAPER,
    )
    masks = True


class Pointing15MaskDifficult(Pointing15):
    """Difficult samples with masks."""

    info = MetricInfo(
        name="pointing_15_mask_difficult",
        title="pointing 15 px, mask, difficult",
        narrow="point.\n15 px\nmask\ndiff.",
        unit="fraction",
        direction="higher",
        summary="pointing_15_mask where the mask fills less than a quarter of the image and something else is in it.",
        paper=PAPER,
    )
    masks = True
    difficult = True


def class_mean_values(hits: Floats, labels: ArrayLike) -> Floats:
    """[images] values whose mean is the mean over classes of their mean hits: how it depends on each image.

    The mean, plus what the image's hit departs from its class's mean, weighted by how rare the class is: the
    linearisation as in :mod:`xtool.metrics.ratio`. NaN stays NaN and counts nowhere.
    """
    measured = ~np.isnan(hits)
    found = hits[measured]
    _, of, counts = np.unique(np.asarray(labels)[measured], return_inverse=True, return_counts=True)
    means = np.bincount(of, found) / counts
    values = np.full(len(hits), np.nan)
    values[measured] = means.mean() + (found - means[of]) * len(found) / (len(counts) * counts[of])
    return values
