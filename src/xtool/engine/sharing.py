"""Work shared between methods that explain the same image, and an honest account of who needed it.

Inside ``with image_ledger() as ledger`` a piece of work that two methods both need (the plain forward pass, the
masked embeddings) is done once. The second method is still *charged* what the work cost, so that the seconds and
the forwards in a comparison are those that each method needs on its own.

Outside such a block nothing is shared and nothing is kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar, cast

from xtool.engine.profiling import TOWER, part

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from torch import Tensor, nn

    from xtool.contracts.layers import Layer
    from xtool.contracts.protocols import Encoder, EncoderInfo

T = TypeVar("T")


@dataclass(slots=True)
class _Done:
    value: Any
    seconds: float
    forwards: int
    keep_alive: tuple[object, ...]  # the objects whose id() is in the key must not be freed and their id reused


@dataclass(slots=True)
class Ledger:
    """What the methods run inside one :func:`image_ledger` have cost."""

    forwards: int = 0
    """Images that went through the image tower, counting shared work for everyone who used it."""
    charged_seconds: float = 0.0
    """Seconds of shared work that was charged but not done again."""
    encoder_seconds: float = 0.0
    """Seconds spent inside the image tower, done work only."""
    on_pass: Callable[[int], None] | None = None
    """Told of each finished pass with the images in it, to show progress; what it raises stops the work."""
    _done: dict[Hashable, _Done] = field(default_factory=dict)
    _in_pass: bool = False


_current: ContextVar[Ledger | None] = ContextVar("xtool_ledger", default=None)


@contextmanager
def image_ledger(ledger: Ledger | None = None) -> Iterator[Ledger]:
    """Share work between everything that runs inside, until the block ends.

    Giving the ledger of an earlier block shares that block's work, too, as long as the ledger is kept.
    """
    ledger = Ledger() if ledger is None else ledger
    token = _current.set(ledger)
    try:
        yield ledger
    finally:
        _current.reset(token)


def shared(what: Hashable, subjects: tuple[object, ...], compute: Callable[[], T]) -> T:
    """Return ``compute()``, or what it returned before for the same ``what`` and the very same ``subjects``."""
    ledger = _current.get()
    if ledger is None:
        return compute()
    key = (what, tuple(id(subject) for subject in subjects))
    done = ledger._done.get(key)
    if done is not None:
        ledger.forwards += done.forwards
        ledger.charged_seconds += done.seconds
        return cast("T", done.value)
    start, forwards, charged = time.perf_counter(), ledger.forwards, ledger.charged_seconds
    value = compute()
    seconds = time.perf_counter() - start + ledger.charged_seconds - charged
    ledger._done[key] = _Done(value, seconds, ledger.forwards - forwards, subjects)
    return value


@contextmanager
def tower_pass(images: int) -> Iterator[None]:
    """Count ``images`` through the image tower, and the seconds of the block as time inside it.

    A pass within a pass (a feature extractor that calls ``encode_image``) is the same pass and counts once.
    """
    ledger = _current.get()
    if ledger is None or ledger._in_pass:
        with part(TOWER):
            yield
        return
    ledger._in_pass = True
    start = time.perf_counter()
    try:
        with part(TOWER):
            yield
    finally:
        ledger._in_pass = False
        ledger.forwards += images
        ledger.encoder_seconds += time.perf_counter() - start
    if ledger.on_pass is not None:
        ledger.on_pass(images)


class CountedEncoder:
    """An encoder whose ``encode_image`` is counted in the current ledger; everything else is the encoder's own."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    @property
    def info(self) -> EncoderInfo:
        return self._encoder.info

    @property
    def visual(self) -> nn.Module:
        return self._encoder.visual

    @property
    def device(self) -> torch.device:
        return self._encoder.device

    @property
    def dtype(self) -> torch.dtype:
        return self._encoder.dtype

    def encode_image(self, pixels: Tensor) -> Tensor:
        with tower_pass(len(pixels)):
            return self._encoder.encode_image(pixels)

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        return self._encoder.encode_text(texts)

    def layer(self, name: str) -> Layer:
        return self._encoder.layer(name)
