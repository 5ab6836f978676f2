"""What the command line told the page. The server runs in the same process, so a module can hold it."""

from __future__ import annotations

from dataclasses import dataclass

from xtool.plugin import DEFAULT_ENCODER


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How the page starts and what it may use."""

    encoder: str = DEFAULT_ENCODER
    """Chosen when the page opens."""
    pretrained: str = "auto"
    """Weights of that encoder; every other one takes its own default. Only whoever starts the server may name files."""
    device: str = "auto"
    cache_dir: str | None = None


_current = Settings()


def configure(settings: Settings) -> None:
    """Use these from now on."""
    global _current
    _current = settings


def current() -> Settings:
    """The settings in use."""
    return _current
