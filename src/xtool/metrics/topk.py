"""Top-1, Top-5 and GT-known localization.

An image counts for Top-k when the true class is among the k most similar *and* its box is found; GT-known drops the
class. The three belong together: a report that shows one shows all. The map is made for the true class.

Classes that have exactly the same names count as one: no text tells them apart, and as two they would tie in every
image and neither could ever be Top-1. In ImageNet these are the two classes called only "crane", the bird and the
machine. Classes that share some names but not all are told apart by the others ("maillot" and "maillot, tank suit").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xtool.metrics.metric import MetricInfo

__all__ = ["INFOS", "LocalizationRates", "distinct_classes", "localization_rates", "rank_of", "same_names"]

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


def distinct_classes(classes: Sequence[tuple[str, ...]]) -> tuple[list[tuple[str, ...]], list[int]]:
    """The names of the classes that texts tell apart, and for each class of ``classes`` which of them it is.

    Upper and lower case are alike, as they are to CLIP, and so are the orders of the names.
    """
    rows: dict[frozenset[str], int] = {}
    row_of = [rows.setdefault(frozenset(name.casefold() for name in names), len(rows)) for names in classes]
    return [classes[row_of.index(row)] for row in range(len(rows))], row_of


def same_names(classes: Sequence[tuple[str, ...]]) -> list[list[int]]:
    """Groups of class numbers that count as one."""
    groups: dict[int, list[int]] = {}
    for number, row in enumerate(distinct_classes(classes)[1]):
        groups.setdefault(row, []).append(number)
    return [group for group in groups.values() if len(group) > 1]


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
