"""How much numbers would vary on other images like these: a bootstrap of the images, the same one for all methods.

Each resample draws as many images as there are, with replacement, and an image brings all its samples, since what is
asked of one image comes out alike. The threshold of a row stays what it is: an interval is that of the number *at this
threshold*.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from xtool.metrics.metric import Floats
from xtool.metrics.registry import METRICS

if TYPE_CHECKING:
    from xtool.runs.summary import MethodResult

__all__ = [
    "CONFIDENCE",
    "FEWEST",
    "RESAMPLES",
    "Interval",
    "Resampled",
    "percentiles",
    "resampled",
    "weightings",
]

RESAMPLES = 2000
CONFIDENCE = 0.95
FEWEST = 10
"""With fewer images, a resample says next to nothing about other images."""
ROUNDING = 1e-9
SEED = 0
BLOCK = 1 << 20
"""Weights held at once: 8 MB. Fewer would read the values of 50,000 images more often than need be."""

Interval = tuple[float, float]
"""Lowest and highest."""

Number = tuple[str, int]
"""A metric's name, and which of several methods."""

UNITS = {metric.info.name: metric.info.unit for metric in METRICS}


class Resampled:
    """Methods on the same samples, and every number of theirs on the same resamples."""

    def __init__(self, results: Sequence[MethodResult]) -> None:
        self.results = tuple(results)
        self.samples = np.unique(np.concatenate([np.zeros(0, np.int64), *(each.indices for each in results)]))
        known = {id(each.images.names): each.images.names for each in results}
        names = {index: name for each in known.values() for index, name in each.items()}
        self.images = np.unique([_file(names[index]) for index in self.samples.tolist()], return_inverse=True)[1]
        """[samples] which image each is of, counted from 0."""

    @cached_property
    def values(self) -> Mapping[Number, Floats]:
        """What the samples add to each number: one entry for each of ``samples``, NaN where there is none."""
        found = {}
        for metric in METRICS:
            for row, result in enumerate(self.results):
                values = metric.per_image(result.results)
                if values is not None:
                    found[metric.info.name, row] = self._aligned(values, result)
        return found

    @cached_property
    def numbers(self) -> Mapping[Number, Floats]:
        """[RESAMPLES] each number on each resample."""
        if not self.values:
            return {}
        return dict(zip(self.values, resampled(list(self.values.values()), self.images), strict=True))

    def intervals(self, row: int) -> dict[str, Interval]:
        """Of one method, by metric; without those that have none.

        None has a metric that is not made up of images, a number of fewer than :data:`FEWEST` images, and one for which
        every image gives the same result: all resamples then agree, which is no sign of precision.
        """
        return {
            name: percentiles(np.clip(numbers, 0, 1) if UNITS[name] == "fraction" else numbers)
            for (name, its_row), numbers in self.numbers.items()
            if its_row == row and self.enough(self.values[name, row]) and np.ptp(numbers) > ROUNDING
        }

    @cached_property
    def single(self) -> bool:
        """Whether each image is one sample."""
        return len(np.unique(self.images)) == len(self.images)

    def enough(self, values: Floats) -> bool:
        """Whether values [samples] that are not NaN are of enough images to say something of others."""
        return int(np.count_nonzero(np.bincount(self.images[~np.isnan(values)]))) >= FEWEST

    def _aligned(self, values: Floats, result: MethodResult) -> Floats:
        aligned = np.full(len(self.samples), np.nan)
        aligned[np.searchsorted(self.samples, result.indices)] = values
        return aligned


def resampled(columns: Sequence[Floats], images: NDArray[np.int64]) -> Floats:
    """[C, RESAMPLES] means of C columns [samples] on resamples of the images, NaN left out.

    ``images`` [samples] tells which image each sample is of, counted from 0.
    """
    number = int(images.max()) + 1
    sums, counts = np.empty((number, len(columns))), []
    for at, column in enumerate(columns):
        measured = ~np.isnan(column)
        sums[:, at] = np.bincount(images[measured], column[measured], number)
        counts.append(np.bincount(images[measured], minlength=number).astype(np.float64))
    # Most columns are measured on the same images, and need not be counted again.
    patterns = {count.tobytes(): count for count in counts}
    which = [list(patterns).index(count.tobytes()) for count in counts]
    different = np.stack(list(patterns.values()), axis=1)
    parts = []
    for weights in weightings(number):
        total, count = weights @ sums, (weights @ different)[:, which]
        parts.append(np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0))
        del weights  # before the next ones are drawn
    return np.concatenate(parts).T


def weightings(images: int) -> Iterator[Floats]:
    """[n, images] how often each image is in each of n resamples; :data:`RESAMPLES` in all, the same ones each time."""
    generator = np.random.default_rng(SEED)
    step = max(1, BLOCK // images)
    for start in range(0, RESAMPLES, step):
        yield _drawn(generator, min(step, RESAMPLES - start), images)


def _drawn(generator: np.random.Generator, resamples: int, images: int) -> Floats:
    weights = np.empty((resamples, images))
    for row in weights:
        row[:] = np.bincount(generator.integers(images, size=images), minlength=images)
    return weights


def percentiles(numbers: Floats) -> Interval:
    """The middle 95 % of numbers [RESAMPLES], those that are NaN left out."""
    tail = (1 - CONFIDENCE) / 2
    low, high = np.nanquantile(numbers, (tail, 1 - tail))
    return float(low), float(high)


def _file(sample: str) -> str:
    """The image's part of a sample's id, which is ``path`` or ``path#label``."""
    path, sign, _ = sample.rpartition("#")
    return path if sign else sample
