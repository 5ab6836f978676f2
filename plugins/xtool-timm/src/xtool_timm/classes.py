"""Names of the classes of a classifier of one's own, from a file.

The names stand in the order of the classifier's outputs. A text file has one line for each output, with synonyms
between commas; a JSON file is a list, an object by index ``{"0": "robin", "1": ["wren", "Troglodytes"]}``, or one by
name ``{"robin": 0}``, as torchvision's ``class_to_idx``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xtool.plugin import UsageError
from xtool_timm.names import ClassNames, words

__all__ = ["read_classes"]


def read_classes(file: str | Path) -> ClassNames:
    """The names in a file. Raises :class:`UsageError` that says in which file, and where in it, something is wrong."""
    path = Path(file).expanduser()
    try:
        if path.exists() and not path.is_file():
            raise UsageError(f"{path}: the names of the classes must be in a file, and this is none")
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: it is not a text file in UTF-8: {error}") from error
    except OSError as error:
        raise UsageError(f"{path}: the file with the names of the classes cannot be read: {error.strerror}") from error
    names = _of_json(path, text) if path.suffix.lower() == ".json" else _of_lines(path, text)
    if not names:
        raise UsageError(f"{path}: it names no class")
    return ClassNames(names, [""] * len(names))


def _of_lines(path: Path, text: str) -> list[list[str]]:
    return [
        _names(f"{path}, line {number}", line.split(",")) for number, line in enumerate(text.rstrip().splitlines(), 1)
    ]


def _of_json(path: Path, text: str) -> list[list[str]]:
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise UsageError(f"{path}, line {error.lineno}: it is not JSON: {error.msg}") from error
    except RecursionError as error:
        raise UsageError(f"{path}: it is nested too deeply") from error
    if isinstance(found, list):
        return [_names(f"{path}, entry {index}", value) for index, value in enumerate(found)]
    if isinstance(found, dict):
        named = _by_index(path, found)
        return [_names(f"{path}, class {index}", named[index]) for index in range(len(named))]
    raise UsageError(f"{path}: it must hold a list of names, or an object from index to name, not {found!r}")


def _by_index(path: Path, found: Mapping[str, Any]) -> dict[int, Any]:
    """An object's names by index from 0 on, whichever of the two is its key."""
    if found and all(isinstance(value, int) for value in found.values()):
        named: dict[int, Any] = {}
        for name, index in found.items():
            named.setdefault(index, []).append(name)
    else:
        for key in found:
            if not key.isdecimal():
                raise UsageError(f"{path}: {key!r} is no index; write names by index, {{'0': 'robin', '1': 'wren'}}")
        named = {int(key): value for key, value in found.items()}
    missing = next((index for index in range(len(named)) if index not in named), None)
    if missing is not None:
        raise UsageError(f"{path}: class {missing} has no name, and {max(named)} has one; indices count from 0")
    return named


def _names(where: str, value: Any) -> list[str]:
    """The names of one class, synonyms after the first."""
    given = [value] if isinstance(value, str) else value
    if not isinstance(given, list) or not all(isinstance(name, str) for name in given):
        raise UsageError(f"{where}: a class is called by a text, or a list of them, not {value!r}")
    names = [name.strip() for name in given if name.strip()]
    if not names:
        raise UsageError(f"{where}: it is empty; each output of the classifier needs a name, in their order")
    unread = next((name for name in names if not words(name)), None)
    if unread is not None:
        raise UsageError(f"{where}: {unread!r} has neither letters nor digits")
    return names
