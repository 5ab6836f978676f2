"""Text files as people have them: UTF-8, with or without a byte-order mark."""

from __future__ import annotations

from pathlib import Path

from xtool.errors import UsageError, regular

__all__ = ["read_lines", "read_text"]


def read_text(path: Path) -> str:
    """The whole text; every newline is ``\\n``. Raises :class:`UsageError` for a file that is not UTF-8 text."""
    try:
        return regular(path).read_text("utf-8-sig")
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read ({error})") from error


def read_lines(path: Path) -> list[str]:
    """Lines between newlines; ``str.splitlines`` would also cut at U+2028 and U+0085. Raises as :func:`read_text`."""
    return read_text(path).removesuffix("\n").split("\n")
