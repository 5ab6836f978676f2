"""One account of the work: seconds by part, passes through the image tower, and what was shared.

Inside ``with account() as work`` every ``with part(name)`` is timed, an inner part separately from its outer one,
so that the parts add up to the whole. What an account inside another one counts, both count.

Inside ``with account(Kept()) as work`` a piece of work that two methods both need (the plain forward pass, the masked
embeddings) is done once. The second method is still *charged* what the work cost, so that the seconds and the forwards
in a comparison are those that each method needs on its own.

An account applies in the thread that opened it. Outside an account nothing is counted, shared or kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar, cast

__all__ = ["Kept", "Work", "account", "charged_once", "part", "shared", "tower_pass"]

TOWER: Final = "image tower"
METHODS: Final = "methods, outside the tower"
BOXES: Final = "boxes and metrics"
RECORDS: Final = "records"
TEXTS: Final = "texts, once each"
IMAGES: Final = "waiting for images"
WORKERS: Final = "waiting for workers"
OTHER: Final = "everything else"

T = TypeVar("T")


class _Stopped(BaseException):
    """Carries what ``on_pass`` raised past every method that would take it for a failure of its own."""

    def __init__(self, reason: BaseException) -> None:
        self.reason = reason


@dataclass(frozen=True, slots=True)
class _Done:
    value: Any
    seconds: float  # its own, as are the forwards: without those of what it needs
    forwards: int
    needs: frozenset[Hashable]
    keep_alive: tuple[object, ...]  # the objects whose id() is in the key must not be freed and their id reused


@dataclass(slots=True)
class _Piece:
    """Shared work that is being done: which other shared work it needed, and what of its cost is that work's."""

    needs: set[Hashable] = field(default_factory=set)
    seconds: float = 0.0
    forwards: int = 0


@dataclass(frozen=True, slots=True)
class Kept:
    """Results of shared work, for as long as this object lives and for every account that is given it."""

    _done: dict[Hashable, _Done] = field(default_factory=dict)

    def about(self, *subjects: object) -> Iterator[object]:
        """What was computed of these very objects, and perhaps of others after them."""
        for done in self._done.values():
            first = done.keep_alive[: len(subjects)]
            if len(first) == len(subjects) and all(one is other for one, other in zip(first, subjects, strict=True)):
                yield done.value


@dataclass(slots=True)
class Work:
    """What was done inside one :func:`account`."""

    seconds: dict[str, float] = field(default_factory=dict)
    """Seconds of each part: of work that was done here, not of work that was only charged."""
    charged_seconds: float = 0.0
    """Seconds of shared work that was charged but not done again."""
    forwards: int = 0
    """Images that went through the image tower, counting shared work for everyone who used it."""
    _kept: Kept | None = None
    _pieces: list[_Piece] = field(default_factory=list)
    _paid: set[Hashable] | None = None
    _repaid: int = 0
    """Forwards of shared work that was asked for again, and had been charged."""
    _passes: list[int] = field(default_factory=list)
    """Of the passes that are being made, in how many pieces of shared work."""
    _on_pass: Callable[[int], None] | None = None
    _settle: Callable[[], None] | None = None
    _parts: list[str] = field(default_factory=lambda: [OTHER])
    _since: float = field(default_factory=lambda: time.perf_counter())

    @property
    def total(self) -> float:
        """Seconds of all parts together."""
        return sum(self.seconds.values())

    @property
    def outside_tower(self) -> float:
        """Share of the time that was not spent in the image tower, in [0, 1]."""
        return 1 - self.seconds.get(TOWER, 0.0) / self.total if self.total else 0.0

    def _turn(self) -> None:
        """Give the time since the last turn to the innermost open part."""
        if self._settle is not None:
            self._settle()
        now = time.perf_counter()
        self.seconds[self._parts[-1]] = self.seconds.get(self._parts[-1], 0.0) + now - self._since
        self._since = now

    def _add(self, inner: Work) -> None:
        for name, spent in inner.seconds.items():
            self.seconds[name] = self.seconds.get(name, 0.0) + spent
        self.charged_seconds += inner.charged_seconds
        self.forwards += inner.forwards
        self._since = inner._since


_current: ContextVar[Work | None] = ContextVar("xtool_work", default=None)


@contextmanager
def account(
    kept: Kept | None = None,
    *,
    on_pass: Callable[[int], None] | None = None,
    settle: Callable[[], None] | None = None,
) -> Iterator[Work]:
    """Count the work of everything that runs inside, in this thread.

    Args:
        kept: where the results of shared work are looked up and kept; without it nothing inside is shared.
        on_pass: called after each pass with the number of images in it, to show progress; what it raises stops the
            work. By default that of the account around this one.
        settle: waits for the device, so that its work counts where it was asked for; by default that of the account
            around this one, or nothing, which suits a processor.
    """
    outer = _current.get()
    if outer is None:
        work = Work(_kept=kept, _on_pass=on_pass, _settle=settle)
    else:
        outer._turn()
        work = Work(
            _kept=kept,
            _on_pass=on_pass or outer._on_pass,
            _settle=settle or outer._settle,
            _parts=outer._parts[-1:],
            _since=outer._since,
        )
    token = _current.set(work)
    try:
        yield work
    except _Stopped as stop:
        if on_pass is None:  # it belongs to an account around this one
            raise
        raise stop.reason from None
    finally:
        _current.reset(token)
        work._turn()
        if outer is not None:
            outer._add(work)


@contextmanager
def part(name: str) -> Iterator[None]:
    """Time the block as ``name``, without the parts inside it."""
    work = _current.get()
    if work is None:
        yield
        return
    work._turn()
    work._parts.append(name)
    try:
        yield
    finally:
        work._turn()
        work._parts.pop()


@contextmanager
def tower_pass(images: int) -> Iterator[None]:
    """Count ``images`` through the image tower, and the seconds of the block as time inside it.

    A pass within a pass (a feature extractor that calls ``encode_image``) is the same pass and counts once; within a
    piece of shared work, it counts for that piece, so that whoever asks for it alone is charged it.
    """
    work = _current.get()
    depth = 0 if work is None else len(work._pieces)
    if work is None or work._passes[-1:] == [depth]:
        yield
        return
    before = work.forwards + work._repaid
    work._passes.append(depth)
    try:
        with part(TOWER):
            yield
    finally:
        work._passes.pop()
        missing = max(0, before + images - work.forwards - work._repaid)
        work.forwards += missing
    if missing and work._on_pass is not None:
        try:
            work._on_pass(missing)
        except BaseException as error:
            raise _Stopped(error) from error


def shared(what: Hashable, subjects: tuple[object, ...], compute: Callable[[], T]) -> T:
    """Return ``compute()``, or what it returned before for the same ``what`` and the very same ``subjects``."""
    work = _current.get()
    if work is None or work._kept is None:
        return compute()
    key = (what, tuple(id(subject) for subject in subjects))
    outer = work._pieces[-1] if work._pieces else _Piece()
    outer.needs.add(key)
    start, forwards = time.perf_counter(), work.forwards
    if key in work._kept._done:
        for needed in _with_needs(key, work._kept._done):
            _charge(work, needed, work._kept._done[needed])
    else:
        piece = _Piece()
        work._pieces.append(piece)
        try:
            value = compute()
        finally:
            work._pieces.pop()
        seconds = time.perf_counter() - start
        work._kept._done[key] = _Done(
            value,
            seconds - piece.seconds,
            work.forwards - forwards - piece.forwards,
            frozenset(piece.needs),
            subjects,
        )
        if work._paid is not None:
            work._paid.add(key)
        outer.seconds += seconds
    outer.forwards += work.forwards - forwards
    return cast("T", work._kept._done[key].value)


@contextmanager
def charged_once() -> Iterator[None]:
    """Inside, a piece of shared work is charged once, however often it is asked for: for a single method."""
    work = _current.get()
    if work is None or work._paid is not None:
        yield
        return
    work._paid = set()
    try:
        yield
    finally:
        work._paid = None


def _with_needs(key: Hashable, done: dict[Hashable, _Done]) -> set[Hashable]:
    """A piece of work and all that it needed."""
    found: set[Hashable] = set()
    waiting = [key]
    while waiting:
        each = waiting.pop()
        if each not in found:
            found.add(each)
            waiting.extend(done[each].needs)
    return found


def _charge(work: Work, key: Hashable, done: _Done) -> None:
    if work._paid is not None:
        if key in work._paid:
            work._repaid += done.forwards
            return
        work._paid.add(key)
    work.forwards += done.forwards
    work.charged_seconds += done.seconds
