"""Work on several images at once, where one may fail and memory may not be enough for all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from xtool.errors import MemoryShortError, PluginError

__all__ = ["AtOnce"]

T = TypeVar("T")


@dataclass(slots=True)
class AtOnce:
    """How many images are worked on at once: as many as are given, until memory runs out; from then on fewer."""

    most: int | None = None

    def done(self, work: Callable[[slice], Sequence[T]], images: int) -> list[T | PluginError]:
        """What ``work`` gives for each of so many images, of which it is given a slice; or why it gives nothing.

        Where it fails on several images, each half is tried by itself, down to the image that is to blame.
        """
        found: list[T | PluginError] = []
        while len(found) < images:
            start = len(found)
            stop = images if self.most is None else min(start + self.most, images)
            found += self._halved(work, start, stop)
        return found

    def _halved(self, work: Callable[[slice], Sequence[T]], start: int, stop: int) -> list[T | PluginError]:
        try:
            return list(work(slice(start, stop)))
        except PluginError as error:
            if stop - start == 1:
                return [error]
            half = (stop - start + 1) // 2
            if isinstance(error, MemoryShortError):
                self.most = half
        return self._halved(work, start, start + half) + self._halved(work, start + half, stop)
