"""A folder of images with VOC XML: ``JPEGImages/`` and ``Annotations/``, or images and XML side by side.

An image with several kinds of objects yields one sample for each kind; objects marked difficult or truncated count.

**Boxes.** Pascal VOC counts pixels from 1 with the last pixel inside: coordinates run from 1 to exactly width.
Here they are half-open and counted from 0: ``xmin - 1 … xmax``. Tools that count from 0 are off by one pixel at most,
and what then lies outside the image by a pixel is cut off.

**Masks.** Where an image has a ``SegmentationClass/*.png``, a palette picture with the numbers of Pascal VOC's 20
classes in alphabetical order from 1, its samples of these classes have a mask; 255 is neither object nor background.
Other names have no number there, and no mask.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PureWindowsPath

import numpy as np
from numpy.typing import NDArray

from xtool.contracts.protocols import Sample
from xtool.datasets.annotations import Annotation, read_voc_xml
from xtool.datasets.files import Folder, open_stored
from xtool.datasets.masks import open_palette_mask
from xtool.datasets.placing import half_open, place_boxes
from xtool.datasets.text import read_lines
from xtool.errors import DataError, UsageError
from xtool.image.files import Frame

__all__ = ["Voc", "open_voc"]

ANNOTATIONS = ("annotations", "annotation", "annots")
IMAGES = ("jpegimages", "images")
"""Names of folders, in any case."""
MASKS = ("segmentationclass",)
NUMBERED = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
"""Pascal VOC's classes, in the order of their numbers in masks, from 1."""
# Pascal VOC's own names that no one says.
SPOKEN = {"diningtable": "dining table", "pottedplant": "potted plant", "tvmonitor": "tv monitor"}


@dataclass(frozen=True, slots=True)
class _Entry:
    """An object's name in an annotation, or why the annotation cannot be used."""

    stem: str
    name: str
    annotation: Annotation | DataError


class Voc:
    """One sample for each image and name. All XML is read when opened: the names decide how many samples there are."""

    def __init__(self, images: Folder, masks: Folder | None, entries: Sequence[_Entry], title: str) -> None:
        self.images = images
        self.masks = masks
        self.entries = entries
        self.title = title
        self.names = sorted({entry.name for entry in entries if entry.name})

    @property
    def name(self) -> str:
        return self.title

    @property
    def classes(self) -> Sequence[tuple[str, ...]]:
        """The names in the folder; none where there is only one, which any classifier would get right."""
        return [(_spoken(name),) for name in self.names] if len(self.names) > 1 else []

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> Sample:
        entry = self.entries[index]
        if isinstance(entry.annotation, DataError):
            raise entry.annotation
        file = self._image_of(entry.stem, entry.annotation.filename)
        boxes = half_open(entry.annotation.of(entry.name), "one-based")
        others = sorted(set(entry.annotation.names) - {entry.name})
        frame = self.images.frame(file)
        return Sample(
            id=f"{file}#{entry.name}",
            open=open_stored(self.images, file),
            label=_spoken(entry.name),
            synonyms=(_spoken(entry.name),),
            boxes=place_boxes(boxes, frame, self.images.describe(file), entry.annotation.size),
            class_index=self.names.index(entry.name) if len(self.names) > 1 else None,
            absent=self._absent(entry.stem, entry.annotation),
            distractor=_spoken(others[0]) if others else None,
            open_mask=self._mask(entry, frame),
        )

    def fingerprint(self) -> str:
        """Hash of all names and boxes."""
        digest = hashlib.sha256()
        for entry in self.entries:
            what = entry.annotation
            boxes = str(what) if isinstance(what, DataError) else what.of(entry.name).tolist()
            digest.update(f"{entry.stem},{entry.name},{boxes}\n".encode())
        return digest.hexdigest()[:16]

    def _mask(self, entry: _Entry, frame: Frame) -> partial[NDArray[np.uint8]] | None:
        file = self.masks.find(entry.stem) if self.masks is not None else None
        if self.masks is None or file is None or entry.name not in NUMBERED:
            return None
        return partial(open_palette_mask, self.masks.root / file, NUMBERED.index(entry.name) + 1, frame)

    def _absent(self, stem: str, annotation: Annotation) -> str | None:
        """A name of the data set that is not annotated in this image, drawn from the image's name."""
        shown = {*annotation.names, *annotation.unboxed}
        rest = [name for name in self.names if name not in shown]
        draw = int.from_bytes(hashlib.sha256(stem.encode()).digest()[:8], "big")
        return _spoken(rest[draw % len(rest)]) if rest else None

    def _image_of(self, stem: str, filename: str) -> str:
        # The XML's own word comes last: files get renamed and converted, XML does not. It may be a Windows path.
        own = PureWindowsPath(filename).name
        for name in (self.images.find(stem), own, self.images.find(PureWindowsPath(own).stem)):
            if name and (self.images.root / name).is_file():
                return name
        raise DataError(self.images.describe(own or f"{stem}.jpg"), "no such file")


def open_voc(data_dir: Path | None, split: str | None = None) -> Voc:
    """Open a folder; ``split`` names a list in ``ImageSets/Main``, all images without it.

    A split with a folder names a list beside ``Main``: ``Segmentation/val`` has the images with masks.

    Raises :class:`UsageError` that says what was looked for and where.
    """
    if data_dir is None:
        raise UsageError("voc needs --data-dir, the folder that contains images and XML")
    root = Path(data_dir)
    found = next((folder for folder in (*_named(root, ANNOTATIONS), root) if _xml_in(folder)), None)
    if found is None:
        raise UsageError(f"{root}: no VOC annotations there; looked for Annotations/*.xml, annots/*.xml and *.xml")
    images = next(_named(root, IMAGES), root)
    files = _xml_in(found)
    stems = _listed(root, split) if split else sorted(files)
    title = f"voc:{split}" if split else f"voc:{root.absolute().name}"
    masks = next((Folder(folder) for folder in _named(root, MASKS)), None)
    return Voc(Folder(images), masks, list(_entries(found, files, stems)), title)


def _named(root: Path, names: Sequence[str]) -> Iterator[Path]:
    """Folders in ``root`` with one of these names, in any case, in the order of ``names``."""
    folders = {path.name.lower(): path for path in root.iterdir() if path.is_dir()} if root.is_dir() else {}
    yield from (folders[name] for name in names if name in folders)


def _xml_in(folder: Path) -> dict[str, Path]:
    """The XML files in a folder by their stem."""
    return {path.stem: path for path in folder.iterdir() if path.suffix.lower() == ".xml"} if folder.is_dir() else {}


def _listed(root: Path, split: str) -> list[str]:
    """The images of a list. Lists of one kind (``dog_val.txt``) mark images that do not show it with -1."""
    path = root / "ImageSets" / (f"{split}.txt" if "/" in split else f"Main/{split}.txt")
    if not path.is_file():
        raise UsageError(f"{path}: no such list for the split {split!r}")
    lines = [line.split() for line in read_lines(path) if line.strip()]
    return [words[0] for words in lines if words[1:] != ["-1"]]


def _entries(folder: Path, files: Mapping[str, Path], stems: Sequence[str]) -> Iterator[_Entry]:
    for stem in stems:
        try:
            annotation = read_voc_xml(files.get(stem, folder / f"{stem}.xml"))
            if annotation.unboxed and not annotation.names:
                raise DataError(str(files[stem]), "none of its objects has a box")
        except DataError as error:
            yield _Entry(stem, "", error)
            continue
        for name in sorted(set(annotation.names)):
            yield _Entry(stem, name, annotation)


def _spoken(name: str) -> str:
    return SPOKEN.get(name, name.replace("_", " "))
