"""Can a method tell whether a text is in the image at all? Asked with true texts and with absent ones."""

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

    shape = (2,)

    def measure(self, case: Case) -> list[bool] | None:
        """The verdicts on the true text and on the absent one."""
        if case.absent is None or case.target.present is None or case.absent.present is None:
            return None
        return [case.target.present, case.absent.present]

    def summarise(self, results: Results) -> float | None:
        verdicts = results.of(self.info.name)
        return balanced_accuracy(*verdicts.T) if len(verdicts) else None

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

    shape = (2,)

    def measure(self, case: Case) -> list[float] | None:
        """The scores of the true text and of the absent one."""
        if case.absent is None or case.target.score is None or case.absent.score is None:
            return None
        return [case.target.score, case.absent.score]

    def summarise(self, results: Results) -> float | None:
        scores = results.of(self.info.name)
        return auroc(*scores.T).value if len(scores) else None

    def per_image(self, results: Results) -> Floats | None:
        """How the AUROC depends on each image: its mean, shifted by how far the image's scores differ from it.

        The share of absent scores below the image's true score, plus that of true scores above its absent one, minus
        the AUROC (Hoeffding's projection, as in DeLong et al., Biometrics 1988). The mean over images is the AUROC.
        """
        scores = results.numbers(self.info.name)
        if scores is None:
            return None
        both = ~np.isnan(scores).any(axis=1)
        high, low = scores[both].T
        below, above = _share_below(high, low), 1 - _share_below(low, high)
        values = np.full(len(scores), np.nan)
        values[both] = below + above - below.mean()
        return values


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
    return Auroc(float(_share_below(high, low).mean()), nans)


def _share_below(scores: Floats, others: Floats) -> Floats:
    """[scores] the share of the others below each, those that are equal counted half."""
    ordered = np.sort(others)
    below, not_above = (np.searchsorted(ordered, scores, side) for side in ("left", "right"))
    shares: Floats = (below + not_above) / (2 * len(others))
    return shares
