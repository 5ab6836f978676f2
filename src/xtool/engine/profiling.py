"""Where the wall time of a run goes, part by part: ``xtool compare --profile``.

Inside ``with profiled() as profile`` every ``with part(name)`` is timed, a part within a part for itself alone, so that
the parts add up to the whole. Outside such a block a part costs one look-up.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final

TOWER: Final = "image tower"
METHODS: Final = "methods, outside the tower"
BOXES: Final = "boxes and metrics"
RECORDS: Final = "records"
TEXTS: Final = "texts, once each"
IMAGES: Final = "waiting for images"
OTHER: Final = "everything else"


def _nothing() -> None:
    """A processor is never behind."""


@dataclass(slots=True)
class Profile:
    """Seconds of each part."""

    settle: Callable[[], None] = _nothing
    """Waits for the device, so that its work counts where it was asked for."""
    seconds: dict[str, float] = field(default_factory=dict)
    _open: list[str] = field(default_factory=lambda: [OTHER])
    _since: float = field(default_factory=lambda: time.perf_counter())

    @property
    def total(self) -> float:
        return sum(self.seconds.values())

    @property
    def outside_tower(self) -> float:
        """Share of the time that was not spent in the image tower, in [0, 1]."""
        return 1 - self.seconds.get(TOWER, 0.0) / self.total if self.total else 0.0

    def _turn(self) -> None:
        """Give the time since the last turn to the innermost open part."""
        self.settle()
        now = time.perf_counter()
        self.seconds[self._open[-1]] = self.seconds.get(self._open[-1], 0.0) + now - self._since
        self._since = now


_current: ContextVar[Profile | None] = ContextVar("xtool_profile", default=None)


@contextmanager
def profiled(settle: Callable[[], None] = _nothing) -> Iterator[Profile]:
    """Time the parts of everything that runs inside, in this thread."""
    profile = Profile(settle)
    token = _current.set(profile)
    try:
        yield profile
    finally:
        profile._turn()
        _current.reset(token)


@contextmanager
def part(name: str) -> Iterator[None]:
    """Time the block as ``name``, without the parts inside it."""
    profile = _current.get()
    if profile is None:
        yield
        return
    profile._turn()
    profile._open.append(name)
    try:
        yield
    finally:
        profile._turn()
        profile._open.pop()
