"""What the command line passed to the page. The server runs in the same process, so a module can hold it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from xtool.plugin import registry


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How the page starts and what it may use."""

    encoder: str | None = None
    """Chosen whatever the picture; ``None`` for the one suggested for what it shows."""
    loading: Mapping[str, Any] = field(default_factory=dict)
    """How encoders are loaded: device, precision and so on. ``pretrained`` and ``calibration`` hold for that encoder
    only, every other one takes its own: only whoever starts the server may name files."""
    hosts: tuple[str, ...] = ()
    """Names of this computer that requests may ask for; none for any."""


_current = Settings()


def configure(settings: Settings) -> None:
    """Use these from now on."""
    global _current
    _current = settings


def first_encoder(shows: str = "") -> str:
    """The name of the encoder to start with: that of the command line, or one suggested that knows what is shown.

    Raises :class:`xtool.plugin.UsageError` where no installed plugin suggests one.
    """
    encoders = registry().encoders
    if _current.encoder is not None:
        return _current.encoder
    return encoders.name_of(encoders.default(shows))


def current() -> Settings:
    """The settings in use."""
    return _current
