"""What a file's bytes are called: SHA-256 for results, and whether a download is what the hub gave."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

SHA256_DIGITS = 64
GIT_DIGITS = 40


def sha256(file: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal. Read once for each state of the file."""
    state = file.stat()
    return _sha256(file.resolve(), state.st_size, state.st_mtime_ns)


def intact(file: Path) -> bool:
    """Whether a file in a Hugging Face cache has the hash that it is stored under; true where none is known.

    A snapshot links to a blob that is called by the hub's hash: SHA-256 of a large file, git's SHA-1 of a small one.
    """
    stored = stored_as(file)
    if len(stored) == SHA256_DIGITS:
        return sha256(file) == stored
    if len(stored) == GIT_DIGITS:
        content = file.read_bytes()
        return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest() == stored
    return True


def stored_as(file: Path) -> str:
    """The hash that a snapshot's file is stored under; empty where the cache has no links, as on some Windows."""
    if "snapshots" not in file.parts or not file.is_symlink():
        return ""
    name = file.readlink().name  # one step: newer caches link on to a store that has hashes of another kind
    return name if len(name) in (SHA256_DIGITS, GIT_DIGITS) and not set(name) - set("0123456789abcdef") else ""


@lru_cache(maxsize=64)
def _sha256(file: Path, size: int, changed: int) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
