"""The data set ``photos``: four photographs with boxes drawn by hand. Too few to measure with; good to look at."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from xtool.plugin import DataError, Sample, UsageError

__all__ = ["Photos", "open_photos"]

_FOLDER = files("xtool_photo").joinpath("data", "photos")


class Photos:
    """A :class:`xtool.plugin.Dataset`: one sample for each thing in a photograph that has boxes."""

    name = "photos"
    classes: Sequence[tuple[str, ...]] = ()

    def __init__(self) -> None:
        self._content = _FOLDER.joinpath("photos.json").read_bytes()
        self._annotations: list[dict[str, Any]] = json.loads(self._content)

    def __len__(self) -> int:
        return len(self._annotations)

    def __getitem__(self, index: int) -> Sample:
        known = self._annotations[index]
        return Sample(
            id=f"{known['image']}#{known['label']}",
            open=partial(_open, known["image"]),
            label=known["label"],
            synonyms=tuple(known["synonyms"]),
            boxes=np.asarray(known["boxes"], np.float64),
            absent=known["absent"],
            distractor=known["distractor"],
        )

    def fingerprint(self) -> str:
        """Hash of the annotations and the pictures."""
        digest = hashlib.sha256(self._content)
        for image in sorted({known["image"] for known in self._annotations}):
            digest.update(_FOLDER.joinpath(image).read_bytes())
        return digest.hexdigest()[:16]


def open_photos(data_dir: Path | None = None, split: str | None = None) -> Photos:
    """Open the photographs; the factory of the data set ``photos``.

    Raises :class:`xtool.plugin.UsageError` for a data folder or a split, as there are none.
    """
    if data_dir is not None:
        raise UsageError("photos are bundled with xtool-photo and take no data folder")
    if split is not None:
        raise UsageError(f"photos has no splits, so there is no {split!r}")
    return Photos()


def _open(name: str) -> Image.Image:
    try:
        return Image.open(io.BytesIO(_FOLDER.joinpath(name).read_bytes())).convert("RGB")
    except OSError as error:
        raise DataError(f"photos/{name}", str(error)) from error
