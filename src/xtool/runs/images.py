"""One method's answers image by image, kept as numbers; an image's result is made when somebody asks for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["ImageResult", "ImageResults", "Place"]

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


@dataclass(frozen=True, slots=True, kw_only=True)
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
    difference: NDArray[np.float64]

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
