"""ImageNet-Segmentation: 4,276 ImageNet images with masks, the file ``gtsegs_ijcv.mat``.

- the file, or the folder that contains it; read in place with h5py: ``pip install "xtool-saliency[hdf5]"``
- names: ``LOC_synset_mapping.txt`` of ImageNet, or ``words.txt`` with all of WordNet, in the folder or its parent

One sample for each image, of the class that its id in the file tells (``n01773549_123``). The published protocol takes
the class that a classifier predicts; a text is made for the true one. An image whose class has no name is unusable:
``--on-error skip`` passes over it.

Boxes are those around the parts of the mask.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from xtool.contracts.protocols import Sample
from xtool.datasets.masks import component_boxes
from xtool.datasets.synsets import MAPPING, WORDS, find_names
from xtool.errors import DataError, SetupError, UsageError
from xtool.image.files import to_image

__all__ = ["ImageNetSegmentation", "open_imagenet_segmentation"]

FILE = "gtsegs_ijcv.mat"
ID = re.compile(r"(n\d{8})_\w+")


class ImageNetSegmentation:
    """One sample for each image, in the order of the file. Images are read when they are asked for."""

    def __init__(self, path: Path, ids: Sequence[str], names: dict[str, tuple[str, ...]]) -> None:
        self.path = path
        self.ids = ids
        self.names = names

    @property
    def name(self) -> str:
        return "imagenet-segmentation"

    @property
    def classes(self) -> Sequence[tuple[str, ...]]:
        """The classes of the file that have a name, in the order of their WordNet ids."""
        return [self.names[synset] for synset in self._rows]

    @cached_property
    def _rows(self) -> dict[str, int]:
        found = {match[1] for match in map(ID.fullmatch, self.ids) if match}
        return {synset: row for row, synset in enumerate(sorted(found & self.names.keys()))}

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Sample:
        own, where = self.ids[index], f"{self.path}, image {index + 1}"
        match = ID.fullmatch(own)
        if match is None:
            raise DataError(where, f"the id {own!r} is none like n01773549_123")
        if match[1] not in self.names:
            raise DataError(
                where, f"{match[1]} has no name in {MAPPING}; {WORDS} of ImageNet has the names of all classes"
            )
        names = self.names[match[1]]
        open_mask = partial(_mask, self.path, index)
        boxes = component_boxes(open_mask())
        if not len(boxes):
            raise DataError(where, f"the mask of {own} is empty")
        return Sample(
            id=own,
            open=partial(_image, self.path, index),
            label=names[0],
            synonyms=names,
            boxes=boxes,
            class_index=self._rows[match[1]],
            absent=self._another(own, self._rows[match[1]]),
            open_mask=open_mask,
        )

    def fingerprint(self) -> str:
        """Hash of the ids and names, and of the size of the file."""
        told = repr((self.ids, self.classes, self.path.stat().st_size))
        return hashlib.sha256(told.encode()).hexdigest()[:16]

    def _another(self, own: str, row: int) -> str | None:
        """The name of another class, drawn from the id; that it is not in the image is likely, not sure."""
        classes = self.classes
        draw = int.from_bytes(hashlib.sha256(own.encode()).digest()[:8], "big")
        return classes[(row + 1 + draw % (len(classes) - 1)) % len(classes)][0] if len(classes) > 1 else None


def open_imagenet_segmentation(data_dir: Path | None, split: str | None = None) -> ImageNetSegmentation:
    """Open the file, or the folder that contains it.

    Raises :class:`UsageError` for a file that is missing or in another format, and
    :class:`xtool.plugin.SetupError` without h5py.
    """
    if split is not None:
        raise UsageError(f"imagenet-segmentation has no splits, so not {split!r} either")
    if data_dir is None:
        raise UsageError(f"imagenet-segmentation needs --data-dir, {FILE} or the folder that contains it")
    given = Path(data_dir)
    path = given if given.is_file() else given / FILE
    if not path.is_file():
        raise UsageError(f"{path}: no such file")
    try:
        ids = _ids(path)
    except DataError as error:
        raise UsageError(str(error)) from error
    return ImageNetSegmentation(path, ids, find_names((path.parent, path.absolute().parent.parent)))


def _ids(path: Path) -> list[str]:
    with _opened(path) as file:
        # MATLAB keeps a text as the codes of its characters.
        return ["".join(map(chr, np.ravel(file[reference[0]][()]))) for reference in file["value/id"][()]]


def _image(path: Path, index: int) -> Image.Image:
    with _opened(path) as file:
        pixels = file[file["value/img"][index, 0]][()]
    return to_image(np.ascontiguousarray(pixels.T))  # MATLAB's order of axes is the reverse


def _mask(path: Path, index: int) -> NDArray[np.bool_]:
    with _opened(path) as file:
        cell = file[file["value/gt"][index, 0]]
        mask = file[cell[0, 0]][()]
    found: NDArray[np.bool_] = np.ascontiguousarray(mask.T) != 0
    return found


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The HDF5 file; what is missing or broken in it is a :class:`DataError`."""
    try:
        import h5py
    except ImportError as error:
        raise SetupError('the data set imagenet-segmentation needs h5py: pip install "xtool-saliency[hdf5]"') from error
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, KeyError, ValueError, TypeError, IndexError, RuntimeError) as error:
        raise DataError(os.fspath(path), f"not the HDF5 file of ImageNet-Segmentation ({error})") from error
