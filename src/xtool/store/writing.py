"""One writer at a time: a run's directory is locked while it is written.

The operating system holds the lock, so that it falls with the process that took it, however that ends. A file beside
it says who writes and since when; it decides nothing.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from xtool.errors import RunError

__all__ = ["LOCK", "WRITER", "writing"]

LOCK = ".lock"
WRITER = ".writer.json"
WITHOUT_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL}
"""What file systems answer that know no locks: some of those over a network, or in user space."""


@contextmanager
def writing(directory: Path) -> Iterator[None]:
    """Inside the block nobody else writes the run in ``directory``, which must exist.

    Raises :class:`RunError`, with the owner, where another process or thread does, or where nothing can be written.
    Warns and goes on where the file system has no locks.
    """
    lock = FileLock(directory / LOCK, thread_local=False)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise RunError(
            f"{directory} is being written by {_told(directory / WRITER)}; wait for it, or choose another --out"
        ) from None
    except (OSError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno not in WITHOUT_LOCKS:
            raise RunError(f"{directory} cannot be written: {error.strerror or error}") from error
        warnings.warn(
            f"{directory} is on a file system without locks: make sure that nothing else writes this run",
            RuntimeWarning,
            stacklevel=3,
        )
    try:
        with suppress(OSError):  # the lock holds without it
            (directory / WRITER).write_text(json.dumps(_this_process()), "utf-8")
        yield
    finally:
        with suppress(OSError):
            (directory / WRITER).unlink(missing_ok=True)
        lock.release()


def _this_process() -> dict[str, str | int | float]:
    return {"pid": os.getpid(), "host": socket.gethostname(), "since": time.time()}


def _told(path: Path) -> str:
    try:
        writer = json.loads(path.read_text("utf-8"))
        since = float(writer["since"])
        began = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(since))
        return f"process {writer['pid']} on {writer['host']} since {began} ({_age(time.time() - since)})"
    except (OSError, ValueError, KeyError, TypeError, OverflowError):  # written at this moment, or by hand
        return "another process"


def _age(seconds: float) -> str:
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(seconds, 0):.0f} seconds"
