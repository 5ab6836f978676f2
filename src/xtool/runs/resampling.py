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
from threadpoolctl import threadpool_limits

from xtool.metrics.metric import Floats
from xtool.metrics.registry import METRICS

if TYPE_CHECKING:
    from xtool.runs.rows import MethodResult

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
WEIGHTS = 5 << 20
"""Weights held at once: 5 MB."""
BLOCK = 1 << 19
"""Weights multiplied at once, as floats: 4 MB."""

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
        files = [_file(names[index]) for index in self.samples.tolist()]
        numbers = {file: number for number, file in enumerate(sorted(set(files)))}
        self.images = np.array([numbers[file] for file in files], np.int64)
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
        if np.array_equal(result.indices, self.samples):
            return values
        aligned = np.full(len(self.samples), np.nan)
        aligned[np.searchsorted(self.samples, result.indices)] = values
        return aligned


def resampled(columns: Sequence[Floats], images: NDArray[np.int64]) -> Floats:
    """[C, RESAMPLES] means of C columns [samples] on resamples of the images, NaN left out.

    ``images`` [samples] tells which image each sample is of, counted from 0.
    """
    # Most columns are measured on the same samples, and need not be counted again.
    measured = [np.packbits(np.isnan(column)).tobytes() for column in columns]
    patterns = list(dict.fromkeys(measured))
    counted = [columns[measured.index(pattern)] for pattern in patterns]
    which = [patterns.index(pattern) for pattern in measured]
    parts = []
    # In several threads the products are hardly faster, and several times slower where others keep a core busy.
    with threadpool_limits(1, user_api="blas"):
        for weights in weightings(int(images.max()) + 1):
            sums = np.zeros((len(columns) + len(counted), len(weights)))
            step = max(1, BLOCK // len(weights))
            for start in range(0, len(images), step):
                some = slice(start, start + step)
                values = [*(column[some] for column in columns), *(~np.isnan(column[some]) for column in counted)]
                # A sample is in a resample as often as its image is.
                sums += np.nan_to_num(values) @ weights[:, images[some]].T.astype(np.float64)
            total, count = sums[: len(columns)], sums[len(columns) :][which]
            parts.append(np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0))
            del weights  # before the next ones are drawn
    return np.concatenate(parts, axis=1)


def weightings(images: int) -> Iterator[NDArray[np.uint8]]:
    """[n, images] how often each image is in each of n resamples; :data:`RESAMPLES` in all, the same ones each time."""
    generator = np.random.default_rng(SEED)
    step = max(1, WEIGHTS // images)
    for start in range(0, RESAMPLES, step):
        yield _drawn(generator, min(step, RESAMPLES - start), images)


def _drawn(generator: np.random.Generator, resamples: int, images: int) -> NDArray[np.uint8]:
    # In a byte: an image is drawn 256 times in one of 10⁵⁰⁶ resamples.
    weights = np.empty((resamples, images), np.uint8)
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
