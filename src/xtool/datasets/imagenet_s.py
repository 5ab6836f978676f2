"""ImageNet-S: masks of ImageNet validation images, for 50, 300 or 919 of its classes.

The folder ``ImageNetS50``, ``ImageNetS300`` or ``ImageNetS919`` as the data set's own scripts make it:

- ``validation/n01443537/*.JPEG`` and ``validation-segmentation/n01443537/*.png``
- the classes: ``ImageNetS_categories_im919.txt`` (50, 300) in the folder, beside it or in ``data/categories`` there;
  or else the folders of ``validation-segmentation``, which must then be complete
- names: ``LOC_synset_mapping.txt`` of ImageNet in the folder or beside it

One sample for each image, of the class whose folder it is in. Masks are RGB pictures with the number red + 256 · green:
classes from 1 in the order of their WordNet ids, 0 for anything else, 1000 for pixels to be ignored. Five pairs of
classes that no one can tell apart are one in ImageNet-S; its names are those of both.

Boxes are those around the parts of the mask. The test images' masks are not public, so there is no split ``test``.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xtool.contracts.protocols import Sample
from xtool.datasets.files import Folder, open_stored
from xtool.datasets.masks import component_boxes, mask_of
from xtool.datasets.placing import place_mask
from xtool.datasets.synsets import MAPPING, WORDNET_ID, find_names
from xtool.datasets.text import read_lines
from xtool.errors import DataError, UsageError
from xtool.image.files import Frame, open_values

__all__ = ["ImageNetS", "open_imagenet_s"]

SPLIT = "validation"
SIZES = (50, 300, 919)
IGNORED = 1000
MERGED = {
    "n04355933": "n04356056",
    "n02808440": "n04493381",
    "n03832673": "n03642806",
    "n03773504": "n04008634",
    "n15075141": "n03887697",
}
"""By the class that stands for both: the other one."""


class ImageNetS:
    """One sample for each image, in the order of the classes and of the file names."""

    def __init__(self, root: Path, classes: Sequence[tuple[str, tuple[str, ...]]], images: Sequence[str]) -> None:
        self.root = root
        self.images = images
        self.files = Folder(root / SPLIT)
        self.numbers = {synset: number for number, (synset, _) in enumerate(classes, start=1)}
        self.names = [names for _, names in classes]

    @property
    def name(self) -> str:
        return f"imagenet-s:{SPLIT}"

    @property
    def classes(self) -> Sequence[tuple[str, ...]]:
        return self.names

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Sample:
        file = self.images[index]
        synset, _, image = file.partition("/")
        number = self.numbers[synset]
        path = self.root / f"{SPLIT}-segmentation" / synset / f"{Path(image).stem}.png"
        open_mask = partial(_open_mask, path, number, self.files.frame(file))
        boxes = component_boxes(open_mask())
        if not len(boxes):
            raise DataError(
                os.fspath(path),
                f"has no pixel of {number}, the number of {synset} among {len(self.names)} classes; "
                "is the list of classes that of another size of ImageNet-S?",
            )
        names = self.names[number - 1]
        return Sample(
            id=f"{SPLIT}/{file}",
            open=open_stored(self.files, file),
            label=names[0],
            synonyms=names,
            boxes=boxes,
            class_index=number - 1,
            absent=self._another(image, number - 1),
            open_mask=open_mask,
        )

    def fingerprint(self) -> str:
        """Hash of the classes, and of the names of the images and the sizes of their masks."""
        digest = hashlib.sha256(repr(self.numbers).encode())
        for file in self.images:
            mask = self.root / f"{SPLIT}-segmentation" / Path(file).with_suffix(".png")
            digest.update(f"{file},{mask.stat().st_size if mask.is_file() else None}\n".encode())
        return digest.hexdigest()[:16]

    def _another(self, image: str, row: int) -> str:
        """The name of another class, drawn from the image's name; that it is not in the image is likely, not sure."""
        draw = int.from_bytes(hashlib.sha256(image.encode()).digest()[:8], "big")
        return self.names[(row + 1 + draw % (len(self.names) - 1)) % len(self.names)][0]


def open_imagenet_s(data_dir: Path | None, split: str | None = None) -> ImageNetS:
    """Open the folder of one size of ImageNet-S.

    Raises :class:`UsageError` that says what was looked for and where.
    """
    if split not in (None, SPLIT):
        hint = "; its masks are not public" if split == "test" else ""
        raise UsageError(f"imagenet-s has the split {SPLIT!r}, not {split!r}{hint}")
    if data_dir is None:
        raise UsageError("imagenet-s needs --data-dir, the folder ImageNetS50, ImageNetS300 or ImageNetS919")
    root = Path(data_dir)
    for folder in (SPLIT, f"{SPLIT}-segmentation"):
        if not (root / folder).is_dir():
            inside = ", ".join(sorted(path.name for path in root.glob("ImageNetS*") if path.is_dir()))
            advice = f"; did you mean one of {inside} in it?" if inside else ""
            raise UsageError(f"{root}: no folder {folder} of ImageNet-S there{advice}")
    images = sorted(f"{folder}/{entry.name}" for folder in _synsets_in(root / SPLIT) for entry in
                    os.scandir(root / SPLIT / folder) if entry.name.lower().endswith((".jpeg", ".jpg")))  # fmt: skip
    if not images:
        raise UsageError(f"{root / SPLIT}: no images there; looked for n01440764/*.JPEG and the like")
    synsets = _categories(root)
    unknown = sorted({image.partition("/")[0] for image in images} - set(synsets))
    if unknown:
        raise UsageError(
            f"{root / SPLIT}: {', '.join(unknown[:5])} are none of the {len(synsets)} classes of ImageNet-S"
        )
    return ImageNetS(root, _named(root, synsets), images)


def _synsets_in(folder: Path) -> list[str]:
    return sorted(entry.name for entry in os.scandir(folder) if WORDNET_ID.fullmatch(entry.name) and entry.is_dir())


def _categories(root: Path) -> list[str]:
    """The WordNet ids of the classes, in order: the published lists are not."""
    size = root.absolute().name.removeprefix("ImageNetS")
    file = f"ImageNetS_categories_im{size if size.isdigit() else '*'}.txt"
    places = [place / below for place in (root, root.absolute().parent) for below in (".", "data/categories")]
    lists = [path for place in places for path in sorted(place.glob(file))]
    if lists:
        ids = sorted(filter(None, map(str.strip, read_lines(lists[0]))))
        wrong = [each for each in ids if not WORDNET_ID.fullmatch(each)]
        if wrong:
            raise UsageError(f"{lists[0]}: WordNet ids like n01440764 are wanted, got {wrong[0]!r}")
        return ids
    ids = _synsets_in(root / f"{SPLIT}-segmentation")
    if len(ids) not in SIZES:
        raise UsageError(
            f"{root}: the numbers of the classes cannot be told: there are {len(ids)} folders in {SPLIT}-segmentation, "
            f"not 50, 300 or 919, and no {file} in the folder, beside it or in data/categories"
        )
    return ids


def _named(root: Path, synsets: Sequence[str]) -> list[tuple[str, tuple[str, ...]]]:
    """Each class with all its names, those of the one that it was merged with last."""
    known = find_names((root, root.absolute().parent))
    nameless = [each for each in synsets if each not in known]
    if nameless:
        raise UsageError(f"{root}: {', '.join(nameless[:5])} have no name in {MAPPING}")
    merged = known if len(synsets) == SIZES[-1] else {}
    return [(each, tuple(dict.fromkeys((*known[each], *merged.get(MERGED.get(each, ""), ()))))) for each in synsets]


def _open_mask(path: Path, number: int, frame: Frame) -> NDArray[np.uint8]:
    values = open_values(path)
    if values.ndim != 3:
        raise DataError(os.fspath(path), "is no RGB picture; the class is red + 256 · green")
    numbers = values[..., 0] + 256 * values[..., 1].astype(np.int64)
    return place_mask(mask_of(numbers, number, IGNORED), frame, os.fspath(path))
