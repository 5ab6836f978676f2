"""Arrays that are put together from parts without being in memory twice."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Growing"]


class Growing:
    """An array [n, ...] that parts are added to at its end.

    Hundreds of parts that are concatenated in the end leave as many holes in the heap, which the process keeps.
    """

    def __init__(self, like: NDArray[Any], room: int) -> None:
        """For parts of the type and shape of ``like``, of ``room`` rows together, or more."""
        # The system gives memory to what is written, not to what is asked for.
        self._array = np.empty((room, *like.shape[1:]), like.dtype)
        self._length = 0

    def add(self, part: NDArray[Any]) -> None:
        """Put a part after those before."""
        end = self._length + len(part)
        if end > len(self._array):
            room = max(end, 2 * len(self._array))
            self._array = np.concatenate(
                [self._array, np.empty((room - len(self._array), *part.shape[1:]), part.dtype)]
            )
        self._array[self._length : end] = part
        self._length = end

    def whole(self) -> NDArray[Any]:
        """All parts: a view, which later parts leave as it is."""
        return self._array[: self._length]
