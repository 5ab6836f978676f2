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
    "difference",
    "leaders",
    "mcnemar",
]

INFO = {metric.info.name: metric.info for metric in METRICS}

FOUND = "gt_known"
"""The metric that methods are ranked by."""


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


def difference(rows: Resampled, name: str, row: int, other: int) -> Difference | None:
    """Of two methods in one metric; ``None`` where too few images have it from both."""
    if (name, row) not in rows.values or (name, other) not in rows.values:
        return None
    own, others = rows.values[name, row], rows.values[name, other]
    apart = own - others
    if not rows.enough(apart):
        return None
    both = ~np.isnan(apart)
    if (np.isnan(own) == np.isnan(others)).all():
        numbers = rows.numbers[name, row] - rows.numbers[name, other]
    else:
        (numbers,) = resampled([apart], rows.images)
    low, high = percentiles(numbers)
    return Difference(
        images=int(both.sum()),
        value=float(apart[both].mean()),
        low=low,
        high=high,
        p=_found_or_not(own[both], others[both]) if rows.single else None,
    )


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
    found = {row: difference(rows, name, best, row) for row in having if row != best}
    return [row for row in having if (each := found.get(row)) is None or not each.clear]


def compared(rows: Resampled) -> list[Comparison]:
    """Each method against the best by GT-known, and against the best control."""
    if not rows.results:
        return []
    opponents = dict.fromkeys([_best_method(rows), _best_control(rows)])
    found = [
        Comparison(
            method=result.method,
            against=rows.results[other].method,
            differences={name: each for name in INFO if (each := difference(rows, name, row, other)) is not None},
        )
        for other in opponents
        if other is not None
        for row, result in enumerate(rows.results)
        if row != other
    ]
    return [each for each in found if each.differences]


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
