"""One method's answers image by image, kept as numbers; an image's result is made when somebody asks for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

__all__ = ["ImageResult", "ImageResults", "Place", "Totals"]

Place = tuple[int, int]
"""Which of a run's directories a record is in, and the byte at which its line starts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageResult:
    """One method's answer for one sample, at the method's threshold."""

    index: int
    image: str
    place: Place
    iou: float
    """Best IoU of any predicted with any true box."""
    found: bool
    difference: float
    """``iou`` minus the mean of the other methods' on the same image; 0 where there is no other."""


class Totals:
    """Over the methods of a run: of each sample, the sum of IoUs and the number of methods that have it."""

    def __init__(self, samples: NDArray[np.int64]) -> None:
        """Of no method yet. ``samples`` are the indices of all, ascending."""
        self._samples = samples
        self._sums, self._counts = np.zeros(len(samples)), np.zeros(len(samples), np.int64)

    def add(self, indices: NDArray[np.int64], ious: NDArray[np.float64]) -> None:
        """One method's IoUs on the samples that it has."""
        at = np.searchsorted(self._samples, indices)
        self._sums[at] += ious
        self._counts[at] += 1

    def differences(self, indices: NDArray[np.int64], ious: NDArray[np.float64]) -> NDArray[np.float64]:
        """[images] IoUs minus the mean of the other methods' on the same samples; 0 where there is no other."""
        at = np.searchsorted(self._samples, indices)
        others = self._counts[at] - 1
        differences: NDArray[np.float64] = np.where(
            others > 0, ious - (self._sums[at] - ious) / np.maximum(others, 1), 0.0
        )
        return differences


@dataclass(frozen=True, kw_only=True)
class ImageResults:
    """A sequence of :class:`ImageResult` in the order of the data set; or the arrays themselves, [images] each."""

    names: Mapping[int, str]
    """The samples' ids by their index, of the whole run."""
    indices: NDArray[np.int64]
    """Ascending."""
    directories: NDArray[np.int32]
    starts: NDArray[np.int64]
    iou: NDArray[np.float64]
    found: NDArray[np.bool_]
    totals: Totals
    """Of all methods."""

    @cached_property
    def difference(self) -> NDArray[np.float64]:
        return self.totals.differences(self.indices, self.iou)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, at: int) -> ImageResult:
        index = int(self.indices[at])
        return ImageResult(
            index=index,
            image=self.names[index],
            place=(int(self.directories[at]), int(self.starts[at])),
            iou=float(self.iou[at]),
            found=bool(self.found[at]),
            difference=float(self.difference[at]),
        )

    def __iter__(self) -> Iterator[ImageResult]:
        return (self[at] for at in range(len(self)))

    def named(self, image: str) -> list[ImageResult]:
        """The results of the samples with this id."""
        wanted = [index for index, name in self.names.items() if name == image]
        return [self[at] for at in np.flatnonzero(np.isin(self.indices, wanted)).tolist()]
