"""Pictures of the page: uploads, judged by their content, and bundled ones."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

from PIL import Image, UnidentifiedImageError

from xtool.plugin import DataError, XtoolError, open_dataset, open_image, registry

__all__ = ["MAX_MEGABYTES", "PHOTOGRAPHS", "Example", "Picture", "examples", "open_example", "open_upload"]

MAX_MEGABYTES = 20
MAX_PIXELS = 50_000_000
MAX_SIDE = 1600
"""Larger pictures are shrunk to this: models see a few hundred pixels, and a map per text is kept at this size."""

FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
"""Of strangers' files only these are decoded. Pillow knows more; for EPS it starts another program."""

PHOTOGRAPHS, PICTOGRAMS = "photographs", "pictograms"
"""What a picture shows, in the words of :attr:`xtool.plugin.EncoderSpec.knows`."""

EXAMPLE_SETS = {"photos": "Photograph", "scenes": "Drawn scene"}
"""Bundled data sets by name, and what one picture of them is called; the first one first."""

EXAMPLES = 8
"""Of each set."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture ready to be searched."""

    name: str
    image: Image.Image
    """RGB, upright, no side longer than :data:`MAX_SIDE`."""
    full_size: tuple[int, int]
    """(width, height) before it was shrunk, upright; boxes in downloads are in these pixels."""
    digest: str
    """Of the content, so that the same picture is known again whatever its name."""
    shows: str = PHOTOGRAPHS
    """What kind of picture it is; a person's own is taken for a photograph."""

    @property
    def scale(self) -> tuple[float, float]:
        """Full-size pixels per pixel of ``image``, (x, y)."""
        (full_width, full_height), (width, height) = self.full_size, self.image.size
        return full_width / width, full_height / height


@dataclass(frozen=True, slots=True)
class Example:
    """A bundled picture, and texts worth asking of it."""

    dataset: str
    index: int
    title: str
    texts: tuple[str, ...]
    """Of something that it shows, and last, where the data set says so, of something that it does not show."""
    shows: str
    """What kind of picture it is."""


def open_upload(content: bytes, name: str) -> Picture:
    """A stranger's file as a picture.

    Raises:
        DataError: too large a file or picture, or not an image in one of :data:`FORMATS`, whatever it is called.
    """
    if len(content) > MAX_MEGABYTES * 2**20:
        raise DataError(name, f"the file is larger than {MAX_MEGABYTES} MB")
    try:
        Image.open(BytesIO(content), formats=_formats()).close()
    except UnidentifiedImageError:
        raise DataError(name, "not a picture in a format that browsers show (JPEG, PNG, WebP, GIF, …)") from None
    except Exception as error:  # bombs and damaged headers: open_image says it better, and refuses what it does not
        opened: Exception = error
        try:
            open_image(content, name, max_pixels=MAX_PIXELS)
        except DataError as told:
            raise told from opened
    return _picture(open_image(content, name, max_pixels=MAX_PIXELS), name, hashlib.sha256(content).hexdigest())


def examples() -> Sequence[Example]:
    """The bundled pictures on offer, photographs first; none where no plugin that brings some is installed."""
    installed = {item.spec.name: item.spec.shows for item in registry().datasets}
    offered: list[Example] = []
    for name in EXAMPLE_SETS:
        if name in installed:
            offered += _examples_of(name, installed[name])
    return tuple(offered)


def open_example(example: Example) -> Picture:
    """A bundled picture, decoded."""
    dataset = open_dataset(example.dataset)
    sample = dataset[example.index]
    name = f"{EXAMPLE_SETS[example.dataset]} {example.index + 1}"
    return _picture(sample.open(), name, f"{dataset.name}/{sample.id}", example.shows)


def _examples_of(name: str, shows: str) -> Sequence[Example]:
    try:
        samples = open_dataset(name)
    except XtoolError:  # its files are missing: the page works without them
        return ()
    offered = []
    for index in range(min(EXAMPLES, len(samples))):
        sample = samples[index]
        seen = [text for text in (sample.label, sample.distractor) if text]
        texts = [*seen, *([sample.absent] if sample.absent else [])]
        title = f"{EXAMPLE_SETS[name]} {index + 1}: {', '.join(seen)}"
        offered.append(Example(name, index, title, tuple(texts), shows))
    return offered


def _picture(image: Image.Image, name: str, digest: str, shows: str = PHOTOGRAPHS) -> Picture:
    full_size = image.size
    if max(full_size) > MAX_SIDE:
        image = image.copy()
        image.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
    return Picture(name, image, full_size, digest, shows)


def _formats() -> list[str]:
    Image.init()  # Pillow raises for a format that this build lacks
    return [name for name in FORMATS if name in Image.OPEN]
