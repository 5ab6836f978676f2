"""Loaded models and the work kept for each picture, shared by everyone who has the page open."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import cache
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

from xtool.plugin import Encoder, Explainer, Fit, MethodRequest, load_encoder, seconds_per_pass
from xtool_app import settings
from xtool_app.pictures import Picture

__all__ = ["Models", "models"]

T = TypeVar("T")

ENCODERS_KEPT = 2
PICTURES_KEPT = 6


class RecentlyUsed(Generic[T]):
    """A cache of the few things used last."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._things: OrderedDict[Hashable, T] = OrderedDict()

    def get(self, key: Hashable) -> T | None:
        """The thing of that key, or ``None``."""
        return self._things.get(key)

    def get_or_make(self, key: Hashable, make: Callable[[], T]) -> T:
        """The thing of that key, made now if there is none; the one not used for longest goes."""
        thing = self._things.get(key)
        if thing is None:
            thing = self._things[key] = make()
        self._things.move_to_end(key)
        while len(self._things) > self._room:
            self._things.popitem(last=False)
        return thing

    def clear(self) -> None:
        """Keep nothing."""
        self._things.clear()


class Models:
    """Loaded encoders, and explainers with their kept work: everything slow that a search needs.

    Hold :attr:`lock` while using it.

    One search at a time: methods hook into the model's layers, and two searches at once would read each other's.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._encoders: RecentlyUsed[Encoder] = RecentlyUsed(ENCODERS_KEPT)
        self._explainers: RecentlyUsed[Explainer] = RecentlyUsed(PICTURES_KEPT)
        self._answered: WeakKeyDictionary[Explainer, set[Hashable]] = WeakKeyDictionary()
        self._speeds: dict[str, float] = {}
        self._passes: dict[Hashable, int] = {}

    def encoder(self, name: str) -> Encoder:
        """The encoder with its default weights, or those named when the server was started."""
        loading = dict(settings.current().loading)
        if name != (settings.current().encoder or settings.first_encoder()):
            loading |= {"pretrained": "auto", "calibration": None}
        return self._encoders.get_or_make(name, lambda: load_encoder(name, **loading))

    def loaded(self, name: str) -> Encoder | None:
        """An encoder, if it has been loaded; never loads."""
        return self._encoders.get(name)

    def explainer(self, picture: Picture, encoder: str, fit: Fit) -> Explainer:
        """The picture before the encoder, with all the work kept that was done for it."""
        loaded = self.encoder(encoder)
        # The encoder itself is in the key: one that was dropped and loaded anew shares nothing with its forerunner.
        key = (picture.digest, picture.shows, id(loaded), fit)
        return self._explainers.get_or_make(key, lambda: Explainer(picture.image, loaded, fit=fit, shows=picture.shows))

    def forget_pictures(self) -> None:
        """Drop the work kept for pictures; loaded encoders stay."""
        self._explainers.clear()

    def answered(self, explainer: Explainer) -> set[Hashable]:
        """What has been asked of this explainer before; whoever finishes a search adds to it."""
        return self._answered.setdefault(explainer, set())

    def remember_passes(self, encoder: str, request: MethodRequest, texts: int, passes: int) -> None:
        """Keep what a method was expected to need, for the next one who thinks of choosing it."""
        self._passes[encoder, request.provided, request.config, texts] = passes

    def known_passes(self, encoder: str, request: MethodRequest, texts: int) -> int | None:
        """What :meth:`remember_passes` was told, or ``None``."""
        return self._passes.get((encoder, request.provided, request.config, texts))

    def known_seconds_per_pass(self, encoder: str) -> float | None:
        """What has been measured, or ``None``; never measures."""
        return self._speeds.get(encoder)

    def seconds_per_pass(self, encoder: str) -> float:
        """Measured once per encoder."""
        if encoder not in self._speeds:
            self._speeds[encoder] = seconds_per_pass(self.encoder(encoder))
        return self._speeds[encoder]


@cache
def models() -> Models:
    """Those of this server."""
    return Models()
