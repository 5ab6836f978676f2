"""Images by name, in a folder or in a tar that is read without unpacking it."""

from __future__ import annotations

import os
import re
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property, partial
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import IO, Protocol

from PIL import Image

from xtool.errors import DataError, regular
from xtool.image.files import Frame, open_frame, open_image

__all__ = ["Folder", "ImageFiles", "Tar", "open_stored"]

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")
"""In any case; the first that exists is the image of an annotation."""


class ImageFiles(Protocol):
    """Where images are. Safe to use from several threads, and from worker processes after pickling."""

    def find(self, stem: str) -> str | None:
        """The name of the image ``stem``, whatever its extension; ``None`` where there is none."""
        ...

    def describe(self, name: str) -> str:
        """What errors call the image."""
        ...

    def frame(self, name: str) -> Frame:
        """Its header. Raises :class:`DataError`."""
        ...

    def image(self, name: str) -> Image.Image:
        """The image, RGB and upright. Raises :class:`DataError`."""
        ...


class Folder:
    """Images in a folder; names are paths in it. With ``inside``, images of matching subfolders are found, too."""

    def __init__(self, root: Path, inside: re.Pattern[str] | None = None) -> None:
        self.root = root
        self.inside = inside

    def __reduce__(self) -> tuple[type[Folder], tuple[Path, re.Pattern[str] | None]]:
        return Folder, (self.root, self.inside)  # the listing may be long: each process makes its own

    @property
    def empty(self) -> bool:
        """Whether there is no image."""
        return not self._by_stem

    def find(self, stem: str) -> str | None:
        return self._by_stem.get(stem)

    @cached_property
    def _by_stem(self) -> dict[str, str]:
        return _by_stem(self._names()) if self.root.is_dir() else {}

    def _names(self) -> Iterator[str]:
        for entry in os.scandir(self.root):
            if self.inside is None or not self.inside.fullmatch(entry.name):
                yield entry.name
            elif entry.is_dir():
                yield from (f"{entry.name}/{image.name}" for image in Path(entry).iterdir())

    def describe(self, name: str) -> str:
        return os.fspath(self.root / name)

    def frame(self, name: str) -> Frame:
        return open_frame(self.root / name)

    def image(self, name: str) -> Image.Image:
        return open_image(self.root / name)


class Tar:
    """Images in an uncompressed tar; names are those of its members, without folders.

    The tar is scanned once, when the first image is asked for (headers only: seconds for ImageNet's 6.7 GB).
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def find(self, stem: str) -> str | None:
        return self._by_stem.get(stem)

    @cached_property
    def _by_stem(self) -> dict[str, str]:
        return _by_stem(self.index)

    def describe(self, name: str) -> str:
        return f"{self.path}/{name}"

    def frame(self, name: str) -> Frame:
        with self._member(name) as file:
            return open_frame(file, self.describe(name))

    def image(self, name: str) -> Image.Image:
        with self._member(name) as file:
            return open_image(file, self.describe(name))

    @contextmanager
    def _member(self, name: str) -> Iterator[IO[bytes]]:
        if name not in self.index:
            raise DataError(self.describe(name), "no such file in the tar")
        where = self.index[name]
        if where is None:
            raise DataError(self.describe(name), "stored as a sparse file; pack the tar without --sparse")
        offset, size = where
        try:
            with self.path.open("rb") as tar:
                tar.seek(offset)
                data = tar.read(size)
        except OSError as error:
            raise DataError(self.describe(name), f"cannot be read ({error})") from error
        yield BytesIO(data)

    @cached_property
    def index(self) -> dict[str, tuple[int, int] | None]:
        """(offset, size) of each member; ``None`` of a sparse one, whose bytes do not lie side by side.

        Raises :class:`DataError` for a file that is not a plain tar.
        """
        try:
            with tarfile.open(regular(self.path), "r:") as tar:
                return {
                    Path(member.name).name: None if member.issparse() else (member.offset_data, member.size)
                    for member in tar
                    if member.isfile()
                }
        except (OSError, tarfile.TarError) as error:
            raise DataError(os.fspath(self.path), f"not an uncompressed tar ({error})") from error


def open_stored(files: ImageFiles, name: str) -> partial[Image.Image]:
    """What a :class:`xtool.plugin.Sample` calls to decode the image; can be pickled."""
    return partial(files.image, name)


def _by_stem(names: Iterable[str]) -> dict[str, str]:
    """The name of the image of each stem; of several the one whose extension comes first in :data:`IMAGE_SUFFIXES`."""
    found: dict[str, tuple[int, str]] = {}
    for name in names:
        path = PurePosixPath(name)
        suffix = path.suffix.lower()
        if suffix in IMAGE_SUFFIXES:
            candidate = (IMAGE_SUFFIXES.index(suffix), name)
            found[path.stem] = min(found.get(path.stem, candidate), candidate)
    return {stem: name for stem, (_, name) in found.items()}
