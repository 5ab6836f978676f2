"""ImageNet-1k validation, in the usual layouts on disk.

Three things are looked for independently, so that any mix of layouts works:

- images: the Kaggle folder ``ILSVRC/Data/CLS-LOC/val``, a folder ``val``, both flat or with a folder for each class
  (``val/n01440764/*.JPEG``), or ``ILSVRC2012_img_val.tar`` as it is; ``.JPEG`` or any other extension
- boxes and labels: ``LOC_val_solution.csv``, XML in ``Annotations/CLS-LOC/val``, or the text files of
  WSOL-evaluation (``image_ids.txt``, ``class_labels.txt``, ``localization.txt``, ``image_sizes.txt``)
- names: ``LOC_synset_mapping.txt``

**Boxes.** ILSVRC counts pixels from 0 with the last pixel inside: on real files coordinates run from 0 to exactly
width - 1, never to width, and the three sources agree number by number. Here they are half-open: ``xmax + 1``.

**Absent text.** ``Sample.absent`` is *another class*, chosen at random, with the image's id as the seed. ImageNet
labels one kind of object in an image and does not guarantee that nothing else is there, so sometimes the absent class
is in the image after all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from xtool.contracts.protocols import Sample
from xtool.datasets.files import Folder, ImageFiles, Tar, open_stored
from xtool.datasets.imagenet_labels import CsvLabels, Labels, WsolLabels, XmlLabels
from xtool.datasets.placing import half_open, place_boxes
from xtool.datasets.synsets import MAPPING, WORDNET_ID, Synsets
from xtool.errors import DataError, UsageError

__all__ = ["ImageNet", "open_imagenet"]

T = TypeVar("T")

TAR = "ILSVRC2012_img_val.tar"
CSV = "LOC_val_solution.csv"
IMAGE_FOLDERS = ("ILSVRC/Data/CLS-LOC/val", "Data/CLS-LOC/val", "val", "dataset/ILSVRC/val")
XML_FOLDERS = ("ILSVRC/Annotations/CLS-LOC/val", "Annotations/CLS-LOC/val", "val")
WSOL_FOLDERS = (".", "wsol", "metadata/ILSVRC/test")
WSOL_FILE = "localization.txt"

LOOK_AT = 20
"""Images by which :func:`_check_scale` judges."""
FARTHEST_END = 0.8


class ImageNet:
    """One sample per image, in the order of the labels' source; annotations are parsed when asked for."""

    def __init__(self, files: ImageFiles, labels: Labels, synsets: Synsets) -> None:
        self.files = files
        self.labels = labels
        self.synsets = synsets

    @property
    def name(self) -> str:
        return "imagenet:val"

    @property
    def classes(self) -> Sequence[tuple[str, ...]]:
        return self.synsets.names

    def __len__(self) -> int:
        return len(self.labels.images)

    def __getitem__(self, index: int) -> Sample:
        image = self.labels.images[index]
        label = self.labels.read(index, self.synsets)
        name = self.files.find(image) or f"{image}.JPEG"
        boxes = half_open(label.boxes, "zero-based")
        names = self.synsets.names[label.row]
        return Sample(
            id=f"val/{image}.JPEG",
            open=open_stored(self.files, name),
            label=names[0],
            synonyms=names,
            boxes=place_boxes(boxes, self.files.frame(name), self.files.describe(name), label.size),
            class_index=label.row,
            absent=self._another(image, label.row),
        )

    def fingerprint(self) -> str:
        """Hash of the labels' source (of names and sizes of files where it is XML) and of the classes."""
        digest = hashlib.sha256(repr(self.synsets.ids).encode())
        for part in self.labels.summary():
            digest.update(part.encode())
        return digest.hexdigest()[:16]

    def _another(self, image: str, row: int) -> str | None:
        """The first name of a class that shares no name with this one: a crane is never asked for another crane."""
        own, count = set(self.synsets.names[row]), len(self.synsets.names)
        draw = int.from_bytes(hashlib.sha256(image.encode()).digest()[:8], "big")
        for step in range(count - 1):
            names = self.synsets.names[(row + 1 + (draw + step) % (count - 1)) % count]
            if own.isdisjoint(names):
                return names[0]
        return None


def open_imagenet(data_dir: Path | None, split: str | None = None) -> ImageNet:
    """Open the folder that contains ImageNet, or the tar itself.

    Raises :class:`UsageError` that lists what was looked for and where.
    """
    if split not in (None, "val"):
        raise UsageError(f"imagenet has the split 'val', not {split!r}")
    if data_dir is None:
        raise UsageError("imagenet needs --data-dir, the folder that contains it")
    if not Path(data_dir).exists():
        raise UsageError(f"{data_dir}: no such folder")
    given = Path(data_dir)
    folder = given.parent if given.is_file() else given
    # The parent, too: one may point at ILSVRC/ or wsol/ inside the whole.
    places = (folder, folder.absolute().parent)
    files = Tar(given) if given.is_file() else _first(_images(places), given, "images", (*IMAGE_FOLDERS, TAR))
    wanted = (CSV, *(f"{xml}/*.xml" for xml in XML_FOLDERS), *(f"{wsol}/{WSOL_FILE}" for wsol in WSOL_FOLDERS))
    labels = _first(_labels(places), given, "boxes", wanted)
    mapping = _first((p / MAPPING for p in places if (p / MAPPING).is_file()), given, "class names", (MAPPING,))
    try:
        synsets = Synsets.read(mapping)
    except DataError as error:
        raise UsageError(str(error)) from error
    dataset = ImageNet(files, labels, synsets)
    _check_scale(dataset)
    return dataset


def _check_scale(dataset: ImageNet) -> None:
    """Refuse images that were enlarged, where the source of the labels does not say how large they were.

    Boxes of ImageNet often end at the border. If none of twenty images' boxes comes near it, the images are larger
    than those that were annotated. (Boxes of images that were made smaller lie outside and need no such guess.)
    """
    ends = []
    for index in range(0, len(dataset), max(1, len(dataset) // LOOK_AT)):
        image = dataset.labels.images[index]
        name = dataset.files.find(image)
        if name is None:
            continue
        try:
            label = dataset.labels.read(index, dataset.synsets)
            width, height = dataset.files.frame(name).stored_size
        except DataError:
            continue  # said where the sample is asked for
        if label.size is not None:
            return
        ends.append((half_open(label.boxes, "zero-based")[:, 2:] / (width, height)).max())
    if len(ends) >= LOOK_AT // 2 and max(ends) < FARTHEST_END:
        raise UsageError(
            f"{dataset.files.describe('')}: the images seem to have been enlarged: the boxes of {len(ends)} of them "
            f"all end within {max(ends):.0%} of the width and height. Use ImageNet's images as they were annotated"
        )


def _first(found: Iterator[T], folder: Path, what: str, wanted: Sequence[str]) -> T:
    for item in found:
        return item
    looked = ", ".join(wanted)
    raise UsageError(f"{folder}: no {what} of ImageNet there; looked in it and in its parent for {looked}")


def _images(places: Sequence[Path]) -> Iterator[ImageFiles]:
    for place in places:
        for folder in IMAGE_FOLDERS:
            images = Folder(place / folder, inside=WORDNET_ID)
            if not images.empty:
                yield images
        if (place / TAR).is_file():
            yield Tar(place / TAR)


def _labels(places: Sequence[Path]) -> Iterator[Labels]:
    for place in places:
        if (place / CSV).is_file():
            yield CsvLabels(place / CSV)
        for folder in XML_FOLDERS:
            if next((place / folder).glob("*.xml"), None):
                yield XmlLabels(place / folder)
        for folder in WSOL_FOLDERS:
            if (place / folder / WSOL_FILE).is_file():
                yield WsolLabels(place / folder)
