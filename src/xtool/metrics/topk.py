"""Top-1, Top-5 and GT-known localization.

An image counts for Top-k when the true class is among the k most similar *and* its box is found; GT-known drops the
class. The three belong together: a report that shows one shows all. The map is made for the true class.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xtool.metrics.metric import MetricInfo

__all__ = ["INFOS", "LocalizationRates", "localization_rates", "rank_of"]

INFOS = tuple(
    MetricInfo(name=name, unit="fraction", direction="higher", summary=summary)
    for name, summary in (
        ("gt_known", "The box is found, the class being given."),
        ("top1", "The box is found and the class is the most similar one."),
        ("top5", "The box is found and the class is among the five most similar ones."),
    )
)


@dataclass(frozen=True, slots=True)
class LocalizationRates:
    """Fractions in [0, 1]; ``top1`` and ``top5`` are ``None`` where there are no classes to choose from."""

    gt_known: float
    top1: float | None
    top5: float | None


def rank_of(scores: ArrayLike, truth: int) -> int:
    """The rank, from 1, of class ``truth`` among class scores [C]. Ties count against it, NaN ranks last."""
    values = np.asarray(scores, np.float64)
    own = values[truth]
    return int((~(values < own)).sum()) if not np.isnan(own) else len(values)


def localization_rates(credit: ArrayLike, ranks: ArrayLike | None = None) -> LocalizationRates:
    """Rates over images from ``credit`` [images] in [0, 1] (1 where the box is found) and class ranks [images] from 1.

    Raises :class:`ValueError` for no images or different lengths.
    """
    found = np.asarray(credit, np.float64)
    if found.ndim != 1 or not len(found):
        raise ValueError("rates need at least one image")
    if ranks is None:
        return LocalizationRates(float(found.mean()), None, None)
    rank: NDArray[np.int64] = np.asarray(ranks, np.int64)
    if rank.shape != found.shape:
        raise ValueError(f"{len(found)} images but {len(rank)} ranks")
    top1, top5 = (float((found * (rank <= k)).mean()) for k in (1, 5))
    return LocalizationRates(float(found.mean()), top1, top5)
