"""Does a method know whether a text is in the image at all? Asked with true texts and with absent ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from xtool.metrics.metric import Floats, Metric, MetricInfo

if TYPE_CHECKING:
    from xtool.metrics.case import Case
    from xtool.metrics.results import Results

__all__ = ["Auroc", "Presence", "PresenceAuroc", "auroc", "balanced_accuracy"]


class Presence(Metric):
    """The verdict, right or wrong. A method that cannot tell has no such number."""

    info = MetricInfo(
        name="presence",
        title="presence",
        narrow="pres-\nence",
        unit="fraction",
        direction="higher",
        summary="Balanced accuracy of the verdict present/absent; 0.5 is chance.",
    )

    def measure(self, case: Case) -> list[bool] | None:
        """The verdicts on the true text and on the absent one."""
        if case.absent is None or case.target.present is None or case.absent.present is None:
            return None
        return [case.target.present, case.absent.present]

    def summarise(self, results: Results) -> float | None:
        verdicts = results.of(self.info.name)
        return balanced_accuracy(*zip(*verdicts, strict=True)) if verdicts else None

    def per_image(self, results: Results) -> Floats | None:
        """The share of right verdicts of each image's two: their mean is the balanced accuracy."""
        verdicts = results.numbers(self.info.name)
        return None if verdicts is None else (verdicts[:, 0] + 1 - verdicts[:, 1]) / 2


class PresenceAuroc(Metric):
    """The evidence behind the verdict, whatever the threshold between present and absent."""

    info = MetricInfo(
        name="presence_auroc",
        title="presence AUROC",
        narrow="AUROC",
        unit="fraction",
        direction="higher",
        summary="How often a true text scores above an absent one; 0.5 is chance.",
        detail=True,
    )

    def measure(self, case: Case) -> list[float] | None:
        """The scores of the true text and of the absent one."""
        if case.absent is None or case.target.score is None or case.absent.score is None:
            return None
        return [case.target.score, case.absent.score]

    def per_image(self, results: Results) -> Floats | None:
        """[images, 2] the scores."""
        return results.numbers(self.info.name)

    def weighted(self, values: Floats, weights: Floats) -> Floats:
        return _weighted_auroc(values[:, 0], values[:, 1], weights, weights)


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
    once = _weighted_auroc(high, low, np.ones((1, len(high))), np.ones((1, len(low))))
    return Auroc(float(once[0]), int(np.isnan(high).sum() + np.isnan(low).sum()))


def _weighted_auroc(high: Floats, low: Floats, high_weights: Floats, low_weights: Floats) -> Floats:
    """[W] the same under each of several weightings [W, scores] of the scores; NaN where one side has no weight."""
    high_weights, high = high_weights[:, ~np.isnan(high)], high[~np.isnan(high)]
    low_weights, low = low_weights[:, ~np.isnan(low)], low[~np.isnan(low)]
    order = low.argsort()
    below = np.zeros((len(low_weights), len(low) + 1))
    low_weights[:, order].cumsum(axis=1, out=below[:, 1:])
    # Halfway between those strictly below a score and those not above it: ties count half.
    first, last = (np.searchsorted(low[order], high, side) for side in ("left", "right"))
    above = (high_weights * (below[:, first] + below[:, last])).sum(axis=1) / 2
    pairs = high_weights.sum(axis=1) * below[:, -1]
    found: Floats = np.divide(above, pairs, out=np.full_like(pairs, np.nan), where=pairs > 0)
    return found
