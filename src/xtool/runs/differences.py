"""Is the difference real? Methods on the same images, compared image by image."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from xtool.metrics.metric import Floats
from xtool.metrics.registry import METRICS
from xtool.runs.resampling import CONFIDENCE, Resampled, percentiles, resampled

__all__ = [
    "INFO",
    "Comparison",
    "Difference",
    "compared",
    "differences",
    "leaders",
    "mcnemar",
]

INFO = {metric.info.name: metric.info for metric in METRICS}

FOUND = "gt_known"
"""The metric that methods are ranked by."""

Pair = tuple[int, int]
"""Which two methods."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One method's number minus another's, on the images that both have."""

    images: int
    value: float
    low: float
    high: float
    """The middle 95 % of the difference on resamples of the images."""
    p: float | None
    """Exact McNemar test, where each image is one sample and counts 0 or 1; else ``None``."""

    @property
    def clear(self) -> bool:
        """Whether it is larger than chance would produce one time in twenty."""
        return self.p < 1 - CONFIDENCE if self.p is not None else not self.low <= 0 <= self.high


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A method against another one."""

    method: str
    against: str
    differences: Mapping[str, Difference]
    """By metric."""

    def as_json(self) -> dict[str, Any]:
        differences = {name: asdict(found) for name, found in self.differences.items()}
        return {"method": self.method, "against": self.against, **differences}


def differences(rows: Resampled, name: str, pairs: Iterable[Pair]) -> dict[Pair, Difference]:
    """Of pairs of methods in one metric; without those of which too few images have it from both."""
    values = {row: rows.values[name, row] for row in range(len(rows.results)) if (name, row) in rows.values}
    apart = {(row, other): values[row] - values[other] for row, other in pairs if row in values and other in values}
    apart = {pair: each for pair, each in apart.items() if rows.enough(each)}
    numbers = _resampled(rows, name, apart)
    found = {}
    for (row, other), each in apart.items():
        both = ~np.isnan(each)
        low, high = percentiles(numbers[row, other])
        found[row, other] = Difference(
            images=int(both.sum()),
            value=float(each[both].mean()),
            low=low,
            high=high,
            p=_found_or_not(values[row][both], values[other][both]) if rows.single else None,
        )
    return found


def _resampled(rows: Resampled, name: str, apart: Mapping[Pair, Floats]) -> dict[Pair, Floats]:
    """[RESAMPLES] the differences on resamples; where both methods have the same images, from their own numbers."""

    def same_images(row: int, other: int) -> bool:
        return bool((np.isnan(rows.values[name, row]) == np.isnan(rows.values[name, other])).all())

    numbers = {
        (row, other): rows.numbers[name, row] - rows.numbers[name, other]
        for row, other in apart
        if same_images(row, other)
    }
    others = [pair for pair in apart if pair not in numbers]
    if others:  # all at once, as to draw takes longer than to add up
        numbers |= zip(others, resampled([apart[pair] for pair in others], rows.images), strict=True)
    return numbers


def mcnemar(only_first: int, only_second: int) -> float:
    """Two-sided p: how often a split is this uneven if each of two is as likely to be the only one to find an image.

    The exact form of McNemar's test (Psychometrika 1947), with the binomial distribution in place of χ².
    """
    less, both = min(only_first, only_second), only_first + only_second
    # log of the binomial coefficients by their quotients: integers of thousands of digits would be slow
    steps = np.arange(1, less + 1)
    coefficients = np.append(0.0, np.cumsum(np.log((both - steps + 1) / steps)))
    return min(1.0, 2 * float(np.exp(coefficients - both * np.log(2)).sum()))


def leaders(rows: Resampled, name: str) -> list[int]:
    """The best method of a metric, and those that cannot be told apart from it."""
    having = [row for row, result in enumerate(rows.results) if result.row.values[name] is not None]
    if not having:
        return []
    best = _best(rows, name, having)
    found = differences(rows, name, [(best, row) for row in having if row != best])
    return [row for row in having if (best, row) not in found or not found[best, row].clear]


def compared(rows: Resampled) -> list[Comparison]:
    """Each method against the best by GT-known, and against the best control."""
    if not rows.results:
        return []
    opponents = dict.fromkeys([_best_method(rows), _best_control(rows)])
    pairs = [
        (row, other) for other in opponents if other is not None for row in range(len(rows.results)) if row != other
    ]
    found = {name: differences(rows, name, pairs) for name in INFO}
    comparisons = [
        Comparison(
            method=rows.results[row].method,
            against=rows.results[other].method,
            differences={name: each[row, other] for name, each in found.items() if (row, other) in each},
        )
        for row, other in pairs
    ]
    return [each for each in comparisons if each.differences]


def _best_method(rows: Resampled) -> int:
    """Which method has the highest GT-known; the first of equals."""
    return _best(rows, FOUND, range(len(rows.results)))


def _best_control(rows: Resampled) -> int | None:
    """The same among those that put no image through the model, so never looked; ``None`` where there is none."""
    controls = [row for row, result in enumerate(rows.results) if not result.row.values["forwards_per_image"]]
    return _best(rows, FOUND, controls) if controls else None


def _best(rows: Resampled, name: str, among: Iterable[int]) -> int:
    sign = 1 if INFO[name].direction == "higher" else -1
    return max(among, key=lambda row: sign * (rows.results[row].row.values[name] or 0.0))


def _found_or_not(own: Floats, others: Floats) -> float | None:
    if not np.isin((own, others), (0, 1)).all():
        return None
    return mcnemar(int((own > others).sum()), int((others > own).sum()))
