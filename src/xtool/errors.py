"""Errors that are for people: what happened, to which file or option, and what to do.

The command line prints their message and exits with ``exit_code``; it never shows a traceback for them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LONGEST = 300
"""Characters of a stranger's message that are shown."""


class XtoolError(Exception):
    """A problem that the user can act on. ``str(error)`` is the whole message."""

    exit_code = 1


class DataError(XtoolError):
    """One sample cannot be used: a file is missing, truncated or undecodable, a box lies outside the image, …"""

    def __init__(self, file: str, reason: str) -> None:
        super().__init__(f"{file}: {reason}")
        self.file = file
        self.reason = reason


class RunError(XtoolError):
    """A run directory cannot be used, or a run cannot continue."""


class PluginError(XtoolError):
    """Something that a plugin brought (a method, an encoder, a data set) failed, or broke a promise."""


class MemoryShortError(PluginError):
    """A plugin's code needed more memory than there is; with fewer images at once it may do."""


class UsageError(XtoolError):
    """An option, a name or a value is invalid."""

    exit_code = 2


class SetupError(XtoolError):
    """Something outside the program is missing: weights, a device, an optional dependency."""

    exit_code = 2


def regular(path: Path) -> Path:
    """The same path, unless there is a pipe, a device or a socket: opening one may wait for ever, or never end.

    Raises :class:`OSError`, as opening does.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        raise OSError("it is a pipe, a device or a socket, not a file")
    return path


@contextmanager
def blamed(culprit: str) -> Iterator[None]:
    """Turn whatever a plugin's code raises into :class:`PluginError`; ``SystemExit``, too, must not end the program.

    Errors that are for people are passed on as they are.
    """
    try:
        yield
    except XtoolError:
        raise
    except (Exception, SystemExit) as error:
        if _memory_is_short(error):
            raise MemoryShortError(
                f"{culprit} needs more memory than there is; try a smaller model, or fewer texts and methods"
            ) from error
        told = " ".join(str(error).split())
        short = told if len(told) <= LONGEST else f"{told[:LONGEST]}…"
        raise PluginError(f"{culprit} failed: {type(error).__name__}{f': {short}' if short else ''}") from error


def _memory_is_short(error: BaseException) -> bool:
    """Of Python, of torch for an accelerator, or for a CPU, where torch has no name of its own for it."""
    return type(error).__name__ in ("MemoryError", "OutOfMemoryError") or "DefaultCPUAllocator" in str(error)
