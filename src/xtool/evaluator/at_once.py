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
        waiting = [(0, images)]
        while waiting:
            start, stop = waiting.pop()
            if self.most is not None and stop - start > self.most:
                waiting.append((start + self.most, stop))
                stop = start + self.most
            try:
                found += work(slice(start, stop))
            except PluginError as error:
                if stop - start == 1:
                    found.append(error)
                    continue
                half = (stop - start + 1) // 2
                if isinstance(error, MemoryShortError):
                    self.most = half
                waiting += [(start + half, stop), (start, start + half)]
        return found
