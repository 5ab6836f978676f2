"""The three formats of ImageNet's labels and boxes. Files are split up when opened, and parsed when needed."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from xtool.datasets.annotations import read_voc_xml
from xtool.datasets.synsets import Synsets
from xtool.datasets.text import read_lines, read_text
from xtool.errors import DataError, UsageError

__all__ = ["CsvLabels", "Label", "Labels", "WsolLabels", "XmlLabels"]


@dataclass(frozen=True, slots=True)
class Label:
    """What an image shows, and where."""

    row: int
    """Class number."""
    boxes: NDArray[np.float64]
    """[N ≥ 1, 4] (xmin, ymin, xmax, ymax) counted from 0, the last pixel inside, in pixels as stored."""
    size: tuple[int, int] | None = None
    """(width, height) as annotated, where the source says."""


class Labels(Protocol):
    """Images and their labels."""

    images: Sequence[str]
    """Names without folder and extension: ``"ILSVRC2012_val_00000001"``."""

    def read(self, index: int, synsets: Synsets) -> Label:
        """The label of one image. Raises :class:`DataError`."""
        ...

    def summary(self) -> Iterator[str]:
        """Parts that change if any label does."""
        ...


class CsvLabels:
    """``LOC_val_solution.csv``: ``ILSVRC2012_val_00008570,n01694178 163 114 499 329 …``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[tuple[int, str]] = []
        images: list[str] = []
        reader = csv.reader(StringIO(read_text(path)), skipinitialspace=True)
        try:
            if [cell.strip() for cell in next(reader, [])] != ["ImageId", "PredictionString"]:
                raise UsageError(f"{path}: line 1 is not ImageId,PredictionString")
            for image, *cells in filter(None, reader):
                images.append(image.strip())
                self.rows.append((reader.line_num, ",".join(cells)))
        except csv.Error as error:
            raise UsageError(f"{path}: line {reader.line_num}: not a CSV ({error})") from error
        self.images: Sequence[str] = images

    def read(self, index: int, synsets: Synsets) -> Label:
        number, text = self.rows[index]
        words = text.split()
        try:
            groups = [words[start : start + 5] for start in range(0, len(words), 5)]
            boxes = [(synset, _numbers(corners, 4)) for synset, *corners in groups]
        except ValueError as error:
            raise DataError(os.fspath(self.path), f"line {number}: {error}") from None
        return _label(boxes, None, synsets, f"{self.path}, line {number}")

    def summary(self) -> Iterator[str]:
        for image, (_, text) in zip(self.images, self.rows, strict=True):
            yield f"{image},{text}\n"


class XmlLabels:
    """One VOC XML file per image."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.images: Sequence[str] = sorted(e.name[:-4] for e in os.scandir(folder) if e.name.endswith(".xml"))

    def read(self, index: int, synsets: Synsets) -> Label:
        path = self.folder / f"{self.images[index]}.xml"
        annotation = read_voc_xml(path)
        boxes = list(zip(annotation.names, annotation.boxes.tolist(), strict=True))
        return _label(boxes, annotation.size, synsets, os.fspath(path))

    def summary(self) -> Iterator[str]:
        for image in self.images:
            yield f"{image},{(self.folder / f'{image}.xml').stat().st_size}\n"


class WsolLabels:
    """The four text files of WSOL-evaluation, joined by ``val/ILSVRC2012_val_00000001.JPEG``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        ids = [line.strip() for line in read_lines(folder / "image_ids.txt") if line.strip()]
        self.images: Sequence[str] = [Path(name).stem for name in ids]
        self.classes = self._by_image("class_labels.txt")
        self.boxes = self._by_image("localization.txt")
        self.sizes = self._by_image("image_sizes.txt") if (folder / "image_sizes.txt").is_file() else {}

    def read(self, index: int, synsets: Synsets) -> Label:
        image = self.images[index]
        (row,) = self._parsed("class_labels.txt", self.classes, image, 1)[0]
        size = None
        if self.sizes:
            width, height = self._parsed("image_sizes.txt", self.sizes, image, 2)[0]
            size = (int(width), int(height))
        if not 0 <= row < len(synsets.ids):
            raise DataError(os.fspath(self.folder / "class_labels.txt"), f"{image}: unknown class {row:g}")
        boxes = self._parsed("localization.txt", self.boxes, image, 4)
        return Label(int(row), np.array(boxes, np.float64), size)

    def summary(self) -> Iterator[str]:
        for image in self.images:
            yield f"{image},{self.classes.get(image)},{self.boxes.get(image)}\n"

    def _by_image(self, file: str) -> dict[str, list[tuple[int, str]]]:
        rows: dict[str, list[tuple[int, str]]] = {}
        for number, line in enumerate(read_lines(self.folder / file), start=1):
            name, _, rest = line.partition(",")
            if name.strip():
                rows.setdefault(Path(name.strip()).stem, []).append((number, rest))
        return rows

    def _parsed(self, file: str, rows: dict[str, list[tuple[int, str]]], image: str, count: int) -> list[list[float]]:
        path = os.fspath(self.folder / file)
        if image not in rows:
            raise DataError(path, f"has no line for {image}")
        parsed = []
        for number, text in rows[image]:
            try:
                parsed.append(_numbers(text.split(","), count))
            except ValueError as error:
                raise DataError(path, f"line {number}: {error}") from None
        return parsed


def _label(
    boxes: Sequence[tuple[str, list[float]]], size: tuple[int, int] | None, synsets: Synsets, file: str
) -> Label:
    """The image's class is that of its first object; ImageNet labels objects of one class in an image."""
    if not boxes:
        raise DataError(file, "has no object")
    synset = boxes[0][0]
    if synset not in synsets.rows:
        raise DataError(file, f"unknown synset {synset}")
    return Label(synsets.rows[synset], np.array([box for own, box in boxes if own == synset], np.float64), size)


def _numbers(words: Sequence[str], count: int) -> list[float]:
    if len(words) != count:
        raise ValueError(f"{count} numbers are wanted, got {' '.join(words)!r}")
    try:
        return [float(word) for word in words]
    except ValueError:
        raise ValueError(f"{count} numbers are wanted, got {' '.join(words)!r}") from None
