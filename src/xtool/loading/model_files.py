"""The files of one model: a folder on this machine or a repository of the Hugging Face hub, asked alike."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from xtool.errors import SetupError
from xtool.loading.hub import fetch_any

REPOSITORY = re.compile(r"\w[\w.-]*/\w[\w.-]*")


class ModelFiles:
    """A model's files, by name.

    Args:
        place: what the user typed: a folder, or ``ORG/NAME``.
        folder: the folder; ``None`` for a repository.
        cache_dir: a Hugging Face cache; ``None`` for the user's own.
    """

    def __init__(self, place: str, folder: Path | None = None, cache_dir: str | None = None) -> None:
        self.place = place
        self.folder = folder
        self.cache_dir = cache_dir

    @classmethod
    def named(cls, name: str, cache_dir: str | None = None) -> ModelFiles | None:
        """What a name without prefix means: a folder that exists, else a repository if it looks like ``ORG/NAME``."""
        folder = Path(name).expanduser()
        if name and folder.is_dir():
            return cls(name, folder)
        return cls(name, None, cache_dir) if REPOSITORY.fullmatch(name) else None

    @classmethod
    def in_folder(cls, place: str) -> ModelFiles:
        """Raises :class:`xtool.errors.SetupError` where there is no such folder."""
        folder = Path(place).expanduser()
        if not folder.is_dir():
            raise SetupError(f"there is no folder {place}")
        return cls(place, folder)

    @classmethod
    def in_repository(cls, place: str, cache_dir: str | None = None) -> ModelFiles:
        """Raises :class:`xtool.errors.SetupError` for what cannot be a repository's name."""
        if not REPOSITORY.fullmatch(place):
            raise SetupError(f"{place!r} is no repository of the Hugging Face hub; it must look like ORG/NAME")
        return cls(place, None, cache_dir)

    def __str__(self) -> str:
        return f"the {'repository' if self.folder is None else 'folder'} {self.place}"

    def get(self, *filenames: str) -> Path | None:
        """The first of the files that is there, downloaded if need be; ``None`` if none is.

        Raises :class:`xtool.loading.DownloadError` where the hub cannot be asked.
        """
        if self.folder is None:
            return fetch_any(self.place, filenames, self.cache_dir)
        return next((path for name in filenames if (path := self.folder / name).is_file()), None)

    def json(self, filename: str) -> dict[str, Any] | None:
        """What a JSON file holds; ``None`` if it is not there.

        Raises :class:`xtool.errors.SetupError` if it holds no JSON object, and as :meth:`get` does.
        """
        file = self.get(filename)
        if file is None:
            return None
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise SetupError(f"cannot read {filename} of {self}: {error}") from error
        if not isinstance(content, dict):
            raise SetupError(f"cannot read {filename} of {self}: it holds no JSON object")
        return content
