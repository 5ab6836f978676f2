"""How well boxes count instances: one predicted box for each true one, no more and no fewer."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import linear_sum_assignment

from xtool.metrics.info import MetricInfo
from xtool.metrics.iou import box_iou

__all__ = ["ERROR", "F1", "count_error", "f1", "matches"]

ERROR = MetricInfo(
    name="count_error",
    title="count error",
    unit="boxes",
    direction="lower",
    summary="Mean absolute difference of the numbers of boxes.",
)
F1 = MetricInfo(
    name="count_f1",
    title="F1",
    unit="fraction",
    direction="higher",
    summary="F1 of predicted boxes matched one to one with true boxes at IoU ≥ 0.5.",
)


def count_error(predicted: ArrayLike, truth: ArrayLike) -> int:
    """By how many boxes [P, 4] miss the number of true boxes [M, 4]."""
    return abs(_number(predicted) - _number(truth))


def matches(predicted: ArrayLike, truth: ArrayLike, delta: float = 0.5) -> int:
    """The largest number of pairs, each box used once, with IoU of at least ``delta``. Boxes are half-open."""
    fits = (box_iou(predicted, truth) >= delta).astype(np.int64)
    rows, columns = linear_sum_assignment(fits, maximize=True)
    return int(fits[rows, columns].sum())


def f1(matched: ArrayLike, predicted: ArrayLike, truth: ArrayLike) -> float:
    """F1 over a data set from each image's numbers of matches, predicted and true boxes. NaN without any box."""
    boxes = float(np.sum(predicted) + np.sum(truth))
    return 2 * float(np.sum(matched)) / boxes if boxes else float("nan")


def _number(boxes: ArrayLike) -> int:
    return len(np.asarray(boxes, np.float64).reshape(-1, 4))
