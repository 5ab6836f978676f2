"""ImageNet-Segmentation: the map as a segmentation of object and background.

The protocol of Chefer et al. (CVPR 2021) on the masks of Guillaumin et al. (IJCV 2014), which most papers on vision
transformers report. Map and mask are compared at 224², the map min–max scaled; foreground is what lies above the map's
mean, strictly. A constant map, which cannot be scaled, marks nothing and ranks all pixels alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xtool.image.geometry import Geometry
from xtool.metrics.image_map import ImageMap, min_max
from xtool.metrics.metric import Floats, Json, Metric, MetricInfo
from xtool.metrics.ratio import ratio_values

if TYPE_CHECKING:
    from xtool.metrics.case import Case
    from xtool.metrics.results import Results

__all__ = [
    "SIDE",
    "MeanAP",
    "MeanIoU",
    "PixelAccuracy",
    "average_precision",
    "correct_pixels",
    "map_at_side",
    "mask_at_side",
    "overlaps",
    "two_channel_precision",
]

SIDE = 224
"""Width and height at which map and mask are compared, whatever the image's."""

PAPER = "Chefer et al., Transformer Interpretability Beyond Attention Visualization, CVPR 2021"


class _Segmentation(Metric):
    """Measured where the sample has a mask that shows the object."""

    on_request = True

    def measure(self, case: Case) -> Json | None:
        if case.sample.open_mask is None:
            return None
        mask = case.sample.open_mask()
        return self.compare(map_at_side(case.target.image_map), mask_at_side(mask)) if (mask == 1).any() else None

    def compare(self, heat: Floats, mask: NDArray[np.uint8]) -> Json:
        """What is recorded of a map and a mask, both [224, 224]."""
        raise NotImplementedError


class PixelAccuracy(_Segmentation):
    """Correct pixels of all images over labelled pixels of all images."""

    info = MetricInfo(
        name="pixel_accuracy",
        title="pixel accuracy",
        narrow="pixel\nacc.",
        unit="fraction",
        direction="higher",
        summary="Share of the pixels of all images on the right side of the map's mean.",
        paper=PAPER,
    )

    shape = (2,)

    def compare(self, heat: Floats, mask: NDArray[np.uint8]) -> list[int]:
        return list(correct_pixels(heat, mask))

    def per_image(self, results: Results) -> Floats | None:
        counts = results.numbers(self.info.name)
        return None if counts is None else ratio_values(counts[:, 0], counts[:, 1])


class MeanIoU(_Segmentation):
    """IoU of object and of background, each over the pixels of all images, and their mean."""

    info = MetricInfo(
        name="mean_iou",
        title="mIoU",
        unit="fraction",
        direction="higher",
        summary="Mean of the IoUs of object and background over the pixels of all images, cut at the map's mean.",
        paper=PAPER,
    )

    shape = (2, 2)

    def compare(self, heat: Floats, mask: NDArray[np.uint8]) -> list[list[int]]:
        return overlaps(heat, mask)

    def per_image(self, results: Results) -> Floats | None:
        counts = results.numbers(self.info.name)
        if counts is None:
            return None
        background, foreground = (ratio_values(counts[:, kind, 0], counts[:, kind, 1]) for kind in (0, 1))
        return (background + foreground) / 2


class MeanAP(_Segmentation):
    """Average precision of each image, without a threshold, and its mean over images."""

    info = MetricInfo(
        name="mean_ap",
        title="mAP",
        unit="fraction",
        direction="higher",
        summary="Mean over images of the average precision of map and 1 − map for object and background.",
        paper=PAPER,
    )

    shape = ()

    def compare(self, heat: Floats, mask: NDArray[np.uint8]) -> float:
        return two_channel_precision(heat, mask)

    def per_image(self, results: Results) -> Floats | None:
        return results.numbers(self.info.name)


def map_at_side(image_map: ImageMap) -> Floats:
    """[224, 224] the map resized bilinearly and scaled to [0, 1]; 0 where it is constant or not finite."""
    # Published numbers squash the image. Under another fit the map is first laid into the whole image, so that it is
    # compared with the mask's own pixels; what the model did not see has no heat.
    source = image_map.normalised if image_map.geometry.fit == "squash" else image_map.full
    squashed = Geometry.of((SIDE, SIDE), (source.shape[0], source.shape[1]))
    return min_max(squashed.map_to_image(source)).astype(np.float64)


def mask_at_side(mask: NDArray[Any]) -> NDArray[np.uint8]:
    """[224, 224] a true mask [height, width] of bool, or 0, 1 and 255 (ignored), resized to its nearest pixels."""
    from PIL import Image

    picture = Image.fromarray(mask.astype(np.uint8))
    return np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.NEAREST))


def correct_pixels(heat: Floats, mask: NDArray[np.uint8]) -> tuple[int, int]:
    """How many pixels of a map [H, W] are on the right side of its mean, and how many the mask [H, W] labels."""
    labelled = np.isin(mask, (0, 1))
    return int((_foreground(heat) == mask)[labelled].sum()), int(labelled.sum())


def overlaps(heat: Floats, mask: NDArray[np.uint8]) -> list[list[int]]:
    """[[intersection, union] of the background, and of the object] in pixels that the mask labels."""
    labelled = np.isin(mask, (0, 1))
    found, true = _foreground(heat)[labelled], mask[labelled] == 1
    pairs = ((~found, ~true), (found, true))
    return [[int((one & other).sum()), int((one | other).sum())] for one, other in pairs]


def two_channel_precision(heat: Floats, mask: NDArray[np.uint8]) -> float:
    """Average precision of the scores (1 − map, map) of each labelled pixel against its (background, object)."""
    labelled = np.isin(mask, (0, 1))
    scores, true = heat[labelled], mask[labelled] == 1
    # The published code divides a constant map by zero, and replaces what comes of it by 0 in both channels.
    background = 1 - scores if heat.any() else scores
    return average_precision(np.concatenate([background, scores]), np.concatenate([~true, true]))


def average_precision(scores: ArrayLike, positive: ArrayLike) -> float:
    """Σ (Rₙ − Rₙ₋₁) Pₙ over the distinct scores from the highest down, as scikit-learn defines it.

    NaN where nothing is positive.

    Args:
        scores: [N] finite; equal ones are one step of the curve.
        positive: [N] bool.
    """
    values, true = np.asarray(scores, np.float64), np.asarray(positive, bool)
    order = np.argsort(-values, kind="stable")
    values, hits = values[order], np.cumsum(true[order])
    last = np.append(np.flatnonzero(np.diff(values)), len(values) - 1)
    if not hits.size or not hits[-1]:
        return float("nan")
    precision, recall = hits[last] / (last + 1), hits[last] / hits[-1]
    return float((np.diff(recall, prepend=0.0) * precision).sum())


def _foreground(heat: Floats) -> NDArray[np.bool_]:
    above: NDArray[np.bool_] = heat > heat.mean()
    return above
