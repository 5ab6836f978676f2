"""The sealed benchmark ``scenes``, as a data set."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Sequence
from functools import partial
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from xtool.plugin import DataError, Sample, UsageError
from xtool_tiny.things import things

__all__ = ["SPLITS", "Scenes", "open_scenes"]

SPLITS = ("test", "val", "cross", "single")
"""``val`` is for choosing settings, ``cross`` shows only drawings of a vendor that training never saw, and ``single``
one object a scene, for zero-shot classification."""


class Scenes:
    """A :class:`xtool.plugin.Dataset`: one sample a scene, read straight from the zip in the package."""

    def __init__(self, split: str) -> None:
        self._split = split
        self._content = files("xtool_tiny").joinpath(f"data/scenes/{split}.zip").read_bytes()
        with self._open() as archive:
            self._raw = archive.read("annotations.json")
        self._annotations: list[dict[str, Any]] = json.loads(self._raw)
        self._rows = {thing.name: row for row, thing in enumerate(things())}

    @property
    def name(self) -> str:
        """``"scenes:test"`` and so on."""
        return f"scenes:{self._split}"

    @property
    def classes(self) -> Sequence[tuple[str, ...]]:
        """All names of each thing, the main one first."""
        return tuple(thing.names for thing in things())

    def __len__(self) -> int:
        return len(self._annotations)

    def __getitem__(self, index: int) -> Sample:
        scene = self._annotations[index]
        row = self._rows[scene["label"]]
        stem = f"{index % len(self):04d}"
        return Sample(
            id=f"{stem}.jpg",
            open=partial(self._image, f"{stem}.jpg"),
            label=scene["label"],
            synonyms=things()[row].names,
            boxes=self.boxes(index, scene["label"]),
            class_index=row,
            absent=scene["absent"],
            distractor=scene["distractor"],
            open_mask=partial(self._mask, f"{stem}.png", index),
        )

    def boxes(self, index: int, thing: str) -> NDArray[np.float64]:
        """Boxes [N, 4] of all instances of ``thing`` in a scene, half-open (x0, y0, x1, y1) in pixels."""
        boxes = [placed["box"] for placed in self._annotations[index]["objects"] if placed["thing"] == thing]
        return np.asarray(boxes, dtype=np.float64).reshape(-1, 4)

    def objects(self, index: int) -> Sequence[dict[str, Any]]:
        """Everything in a scene: ``thing``, ``vendor`` and ``box`` of each object, bottom layer first."""
        objects: list[dict[str, Any]] = self._annotations[index]["objects"]
        return objects

    def fingerprint(self) -> str:
        """Hash of the annotations and the images."""
        return hashlib.sha256(self._content).hexdigest()[:16]

    def _open(self) -> zipfile.ZipFile:
        return zipfile.ZipFile(io.BytesIO(self._content))

    def _image(self, name: str) -> Image.Image:
        try:
            with self._open() as archive:
                return Image.open(io.BytesIO(archive.read(name))).convert("RGB")
        except (OSError, KeyError, zipfile.BadZipFile) as error:
            raise DataError(f"{self.name}/{name}", str(error)) from error

    def _mask(self, name: str, index: int) -> NDArray[np.bool_]:
        """Visible pixels [height, width] of all instances of the label."""
        scene = self._annotations[index]
        values = [n + 1 for n, placed in enumerate(scene["objects"]) if placed["thing"] == scene["label"]]
        with self._open() as archive:
            return np.isin(np.asarray(Image.open(io.BytesIO(archive.read(name)))), values)


def open_scenes(data_dir: str | None = None, split: str | None = None) -> Scenes:
    """Open a split; the factory of the data set ``scenes``.

    Raises :class:`xtool.plugin.UsageError` for an unknown split, or a data folder, as the scenes are in the package.
    """
    if data_dir is not None:
        raise UsageError("scenes are bundled with xtool-tiny and take no data folder")
    if (split := split or SPLITS[0]) not in SPLITS:
        raise UsageError(f"scenes has no split {split!r}; it has {', '.join(SPLITS)}")
    return Scenes(split)
