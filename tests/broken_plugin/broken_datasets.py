"""Data sets that keep every promise but one, by name."""

from __future__ import annotations

from functools import partial
from itertools import count

import numpy as np
from PIL import Image

from xtool.plugin import Sample, UsageError

OPENED = count()


class Squares:
    classes = (("dog",),)

    def __init__(self, name) -> None:
        self.name = name
        self._opened = next(OPENED)

    def __len__(self) -> int:
        return 3

    def fingerprint(self) -> str:
        return f"{self._opened}" if self.name == "unstable" else "always the same"

    def __getitem__(self, index) -> Sample:
        boxes = {"empty-boxes": [[9.0, 2, 2, 9]], "boxes-outside": [[2.0, 2, 90, 9]]}.get(self.name, [[2.0, 2, 9, 9]])
        return Sample(
            id="same" if self.name == "same-ids" else str(index),
            open=lambda: Image.new("L" if self.name == "grey" else "RGB", (20, 10)),
            label="dog",
            synonyms=("dog",),
            boxes=np.array(boxes),
            class_index=0,
        )


def _open(name, data_dir, split):
    if split is not None and name != "any-split":
        raise UsageError(f"no split {split}")
    return Squares(name)


open_sound_data = partial(_open, "sound-data")
open_empty_boxes = partial(_open, "empty-boxes")
open_boxes_outside = partial(_open, "boxes-outside")
open_unstable = partial(_open, "unstable")
open_same_ids = partial(_open, "same-ids")
open_grey = partial(_open, "grey")
open_any_split = partial(_open, "any-split")
