"""Top-1, Top-5 and GT-known localization.

An image counts for Top-k when the true class is among the k most similar *and* its box is found; GT-known drops the
class. The three belong together: a report that shows one shows all. The map is made for the true class.

Classes that have exactly the same names count as one: no text tells them apart, and as two they would tie in every
image and neither could ever be Top-1. In ImageNet these are the two classes called only "crane", the bird and the
machine. Classes that share some names but not all are told apart by the others ("maillot" and "maillot, tank suit").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from xtool.metrics.metric import Floats, Metric, MetricInfo

if TYPE_CHECKING:
    from xtool.metrics.results import Results

__all__ = ["GTKnown", "Top1", "Top5", "distinct_classes", "rank_of", "same_names", "top_k"]


class GTKnown(Metric):
    """How often the object is found."""

    info = MetricInfo(
        name="gt_known",
        title="GT-known",
        narrow="GT-\nknown",
        unit="fraction",
        direction="higher",
        summary="The box is found, given the class.",
    )

    def per_image(self, results: Results) -> Floats:
        return results.credit


class Top1(Metric):
    """How often the object is found and named."""

    info = MetricInfo(
        name="top1",
        title="Top-1",
        unit="fraction",
        direction="higher",
        summary="The box is found and the class is the most similar one.",
    )

    def per_image(self, results: Results) -> Floats | None:
        return _credit(results, 1)


class Top5(Metric):
    """How often the object is found and is among five names."""

    info = MetricInfo(
        name="top5",
        title="Top-5",
        unit="fraction",
        direction="higher",
        summary="The box is found and the class is among the five most similar ones.",
    )

    def per_image(self, results: Results) -> Floats | None:
        return _credit(results, 5)


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


def top_k(credit: ArrayLike, ranks: ArrayLike, k: int) -> Floats:
    """[images] what each image adds to Top-k localization: its credit if its class is among the first k, else 0.

    Args:
        credit: [images] in [0, 1], 1 where the box is found.
        ranks: [images] of the true class, from 1.

    Raises :class:`ValueError` for different lengths.
    """
    found, rank = np.asarray(credit, np.float64), np.asarray(ranks, np.int64)
    if rank.shape != found.shape:
        raise ValueError(f"{len(found)} images but {len(rank)} ranks")
    named: Floats = found * (rank <= k)
    return named


def _credit(results: Results, k: int) -> Floats | None:
    # A rate over the images that happen to have a class would stand beside a GT-known over all of them.
    return top_k(results.credit, results.ranks, k) if results.ranks.all() else None
