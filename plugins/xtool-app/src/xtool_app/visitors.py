"""Who has the page open. A closed tab needs no search any longer, and what it held is given back."""

from __future__ import annotations

import ctypes
import gc
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from xtool_app.models import Models, models
from xtool_app.search import Search

__all__ = ["Visitors", "visitors"]

SEARCH_GRACE = 10.0
"""Seconds without a connection after which a search stops: a short loss of the network is no closed tab."""
SESSION_GRACE = 60.0
"""Seconds after which the rest goes: until then a phone may come back to its answer."""


@dataclass(slots=True)
class _Visitor:
    seen: float
    search: Search | None = None


class Visitors:
    """Sessions of the server by their id. :meth:`look` is to be called every few seconds."""

    def __init__(self, kept: Models, clock: Callable[[], float] = time.monotonic) -> None:
        self._models = kept
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[str, _Visitor] = {}
        self._left_behind = False

    def came(self, session: str) -> None:
        """This session shows the page."""
        with self._lock:
            self._known.setdefault(session, _Visitor(self._clock())).seen = self._clock()

    def searches(self, session: str, search: Search) -> None:
        """And has begun this search; an earlier one of it is no longer wanted."""
        self.came(session)
        visitor = self._known[session]
        if visitor.search is not None:
            visitor.search.stop()
        visitor.search = search

    def look(self, here: Callable[[str], bool], close: Callable[[str], None]) -> None:
        """Stop the searches of whoever has left, end their sessions, and give memory back.

        Args:
            here: whether a session is connected.
            close: ends a session with all that it holds.
        """
        for session in self._gone(here):
            close(session)
            self._left_behind = True
        # A search that was stopped still ends its pass through the model: what it holds goes at a later look.
        if self._left_behind and self._models.lock.acquire(blocking=False):
            try:
                if not self._known:
                    self._models.forget_pictures()
            finally:
                self._models.lock.release()
            self._left_behind = False
            give_back()

    def _gone(self, here: Callable[[str], bool]) -> list[str]:
        """Sessions that are taken for closed, no longer known from now on."""
        now = self._clock()
        gone = []
        with self._lock:
            for session, visitor in list(self._known.items()):
                if here(session):
                    visitor.seen = now
                elif now - visitor.seen > SESSION_GRACE:
                    gone.append(session)
                    del self._known[session]
                elif now - visitor.seen > SEARCH_GRACE and visitor.search is not None:
                    visitor.search.stop()
                    visitor.search = None
        return gone


def give_back() -> None:
    """Return free memory to the system, which the C library of Linux otherwise keeps for what may come."""
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError, TypeError):  # another C library, which has its own ways
        return


@cache
def visitors() -> Visitors:
    """Those of this server."""
    return Visitors(models())
