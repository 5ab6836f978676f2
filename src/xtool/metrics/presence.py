"""Does a method know whether a text is in the image at all? Asked with true texts and with absent ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from xtool.metrics.metric import MetricInfo

__all__ = ["ACCURACY", "AUROC", "Auroc", "auroc", "balanced_accuracy"]

ACCURACY = MetricInfo(
    name="presence_accuracy",
    unit="fraction",
    direction="higher",
    summary="Balanced accuracy of the verdict present/absent; 0.5 is chance.",
)
AUROC = MetricInfo(
    name="presence_auroc",
    unit="fraction",
    direction="higher",
    summary="How often a true text scores above an absent one; 0.5 is chance.",
)


def balanced_accuracy(on_present: ArrayLike, on_absent: ArrayLike) -> float:
    """Mean of the shares of right verdicts, from verdicts "present" (bool) on true texts and on absent ones.

    NaN where one of the two is empty: plain accuracy would reward a method that never says no.
    """
    right, wrong = np.asarray(on_present, bool), np.asarray(on_absent, bool)
    if not right.size or not wrong.size:
        return float("nan")
    return float((right.mean() + (1 - wrong.mean())) / 2)


@dataclass(frozen=True, slots=True)
class Auroc:
    """Area under the ROC curve, and how many scores were NaN and left out."""

    value: float
    """In [0, 1]; NaN where there are no scores on one of the two sides."""
    nans: int


def auroc(on_present: ArrayLike, on_absent: ArrayLike) -> Auroc:
    """Chance that a true text's score is above an absent text's, ties counted half (the Mann–Whitney U)."""
    high, low = np.asarray(on_present, np.float64).ravel(), np.asarray(on_absent, np.float64).ravel()
    nans = int(np.isnan(high).sum() + np.isnan(low).sum())
    high, low = high[~np.isnan(high)], low[~np.isnan(low)]
    if not high.size or not low.size:
        return Auroc(float("nan"), nans)
    ranks = rankdata(np.concatenate((high, low)))
    above = ranks[: high.size].sum() - high.size * (high.size + 1) / 2
    return Auroc(float(above / (high.size * low.size)), nans)
