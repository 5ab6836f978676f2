"""COCO instances: ``annotations/instances_NAME.json`` beside a folder of images, or any other file of this format.

An image with several kinds of objects yields one sample for each kind, with the boxes and the mask of all its
instances. Images without an instance yield none.

- the annotations: ``instances_NAME.json`` in the folder or in its ``annotations``, where NAME is the split
  (``val2017``); without a split the only one there is. ``--data-dir`` may also be the file itself, of any name
- the images: the folder ``NAME``, ``images/NAME`` or ``images`` beside ``annotations``, or the one with the file

**Boxes** are ``x y width height`` in pixels, with fractions; here they are ``x0 y0 x1 y1``. Instances whose box is
empty are left out.

**Masks** are polygons, or run lengths as numbers or text. A kind of which an instance has none has no mask.

**Crowds** (``iscrowd``) are no instances: they have no box, and in a mask they are 255, neither object nor background.
A kind that an image shows only as a crowd gives no sample, and is not taken for absent either.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xtool.contracts.protocols import Sample
from xtool.datasets.coco_masks import decode
from xtool.datasets.files import Folder, open_stored
from xtool.datasets.masks import IGNORE
from xtool.datasets.placing import place_boxes, place_mask
from xtool.errors import DataError, UsageError, regular
from xtool.image.files import Frame

__all__ = ["Coco", "open_coco"]

ANNOTATIONS = "annotations"
PREFIX = "instances_"


@dataclass(frozen=True, slots=True)
class _Image:
    file: str
    size: tuple[int, int]
    """(width, height) as annotated."""


@dataclass(slots=True)
class _Kind:
    """What an image has of one category."""

    boxes: list[list[float]] = field(default_factory=list)
    """x, y, width, height."""
    segmentations: list[Any] = field(default_factory=list)
    crowds: list[Any] = field(default_factory=list)


class Coco:
    """One sample for each image and category, in the order of the images and of the categories' ids."""

    def __init__(
        self,
        path: Path,
        images: Folder,
        names: Mapping[int, str],
        found: Sequence[tuple[_Image, Mapping[int, _Kind]]],
        fingerprint: str,
    ) -> None:
        self.path = path
        self.images = images
        self.names = names
        self._found = found
        self._fingerprint = fingerprint
        self._rows = {category: row for row, category in enumerate(names)}
        self._samples = [
            (number, category)
            for number, (_, kinds) in enumerate(found)
            for category in names
            if category in kinds and kinds[category].boxes
        ]

    @property
    def name(self) -> str:
        return f"coco:{self.path.stem.removeprefix(PREFIX)}"

    @property
    def classes(self) -> Sequence[tuple[str, ...]]:
        """The categories; none where there is only one, which any classifier would get right."""
        return [(name,) for name in self.names.values()] if len(self.names) > 1 else []

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> Sample:
        number, category = self._samples[index]
        image, kinds = self._found[number]
        label, kind = self.names[category], kinds[category]
        frame, where = self.images.frame(image.file), self.images.describe(image.file)
        corners = np.array(kind.boxes, np.float64)
        corners[:, 2:] += corners[:, :2]
        others = [self.names[other] for other in self.names if other != category and other in kinds]
        return Sample(
            id=f"{image.file}#{label}",
            open=open_stored(self.images, image.file),
            label=label,
            synonyms=(label,),
            boxes=place_boxes(corners, frame, where, image.size),
            class_index=self._rows[category] if len(self.names) > 1 else None,
            absent=self._absent(image, kinds),
            distractor=others[0] if others else None,
            open_mask=partial(_open_mask, kind, image, frame, f"{self.path}, {image.file}, {label}")
            if all(kind.segmentations)
            else None,
        )

    def fingerprint(self) -> str:
        """Hash of the file."""
        return self._fingerprint

    def _absent(self, image: _Image, kinds: Mapping[int, _Kind]) -> str | None:
        """A category that is not annotated in this image, drawn from the image's name."""
        rest = [name for category, name in self.names.items() if category not in kinds]
        draw = int.from_bytes(hashlib.sha256(image.file.encode()).digest()[:8], "big")
        return rest[draw % len(rest)] if rest else None


def open_coco(data_dir: Path | None, split: str | None = None) -> Coco:
    """Open a folder, or the JSON file itself.

    Raises :class:`UsageError` that says what was looked for and where, or which entry of the file is wrong.
    """
    if data_dir is None:
        raise UsageError("coco needs --data-dir, the folder that contains annotations and images, or the JSON file")
    path = _the_file(Path(data_dir), split)
    try:
        raw = regular(path).read_bytes()
        told = json.loads(raw)
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path}: cannot be read as JSON ({error})") from error
    try:
        names = {int(each["id"]): str(each["name"]) for each in sorted(told["categories"], key=lambda each: each["id"])}
        images = {each["id"]: _Image(each["file_name"], (each["width"], each["height"])) for each in told["images"]}
        annotations = told["annotations"]
        kinds = _kinds(path, annotations, images, names)
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"{path}: not in the format of COCO instances, which has images, annotations and categories "
            f"({type(error).__name__}: {error})"
        ) from error
    root = path.parent.parent if path.parent.name == ANNOTATIONS else path.parent
    stem = path.stem.removeprefix(PREFIX)
    folder = _image_folder(root, stem, next(iter(images.values()), None))
    found = [(image, kinds.get(key, {})) for key, image in images.items()]
    return Coco(path, Folder(folder), names, found, hashlib.sha256(raw).hexdigest()[:16])


def _the_file(given: Path, split: str | None) -> Path:
    if given.is_file():
        return given
    every = [*(given / ANNOTATIONS).glob(f"{PREFIX}*.json"), *given.glob(f"{PREFIX}*.json")]
    files = {path.stem.removeprefix(PREFIX): path for path in every}
    chosen = [path for name, path in files.items() if split in (None, name)]
    if len(chosen) != 1:
        known = ", ".join(sorted(files))
        advice = f"there are {known}: choose one with --dataset coco:NAME" if files else "there is none"
        raise UsageError(f"{given}: one {ANNOTATIONS}/{PREFIX}{split or '*'}.json is wanted, and {advice}")
    return chosen[0]


def _image_folder(root: Path, stem: str, example: _Image | None) -> Path:
    places = [root / stem, root / "images" / stem, root / "images", root]
    for place in places:
        if example is None or (place / example.file).is_file():
            return place
    # An image may be missing where the others are there: that is said of the sample.
    for place in places[:-1]:
        if place.is_dir():
            return place
    looked = ", ".join(str(place) for place in places)
    raise UsageError(f"{root}: no images of COCO there; looked for {example and example.file} in {looked}")


def _kinds(
    path: Path, annotations: Sequence[Any], images: Mapping[Any, _Image], names: Mapping[int, str]
) -> dict[Any, dict[int, _Kind]]:
    """By image and category. Raises :class:`UsageError` for an id that is no image's or no category's."""
    kinds: dict[Any, dict[int, _Kind]] = {}
    for each in annotations:
        image, category = each["image_id"], each["category_id"]
        for what, key, known in (("image", image, images), ("category", category, names)):
            if key not in known:
                raise UsageError(f"{path}: annotation {each.get('id')} is of the {what} {key}, which the file lacks")
        kind = kinds.setdefault(image, {}).setdefault(category, _Kind())
        if each.get("iscrowd"):
            kind.crowds.append(each.get("segmentation"))
        elif each["bbox"][2] > 0 and each["bbox"][3] > 0:
            kind.boxes.append([float(side) for side in each["bbox"]])
            kind.segmentations.append(each.get("segmentation"))
    return kinds


def _open_mask(kind: _Kind, image: _Image, frame: Frame, what: str) -> NDArray[np.uint8]:
    width, height = image.size
    mask = np.zeros((height, width), np.uint8)
    try:
        for crowd in filter(None, kind.crowds):
            mask[decode(crowd, image.size)] = IGNORE
        for segmentation in kind.segmentations:
            mask[decode(segmentation, image.size)] = 1
    except ValueError as error:
        raise DataError(what, f"the segmentation cannot be decoded: {error}") from error
    return place_mask(mask, frame, what)
