"""Photographs of mixed sizes as files, for what includes decoding: bundled scenes at sizes that ImageNet has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.speed import models
from xtool.contracts.protocols import Sample
from xtool.image.files import open_image

SIZES = (
    *((500, 375), (375, 500), (500, 333), (333, 500), (640, 480), (500, 500), (256, 192)) * 2,
    (1024, 768),
    (1600, 1200),
)
"""Width and height; ImageNet's photographs are most often the first, and some are large."""
DIFFERENT = 32
"""Files; more images are the same again, which no method can tell, as all work on an image ends with it."""
NOISE = 12


@dataclass(frozen=True)
class Photographs:
    """A data set of as many images as wanted, with one true box each and without classes."""

    files: tuple[Path, ...]
    labels: tuple[str, ...]
    count: int
    name = "photographs"
    classes: Sequence[tuple[str, ...]] = ()

    @classmethod
    def written(cls, folder: Path, count: int) -> Photographs:
        """Write the files, JPEGs with some noise, and so with the bytes for a pixel that photographs have."""
        from PIL import Image

        random, files, labels = np.random.default_rng(0), [], []
        for index in range(min(count, DIFFERENT)):
            sample = models.scenes()[index]
            whole = np.asarray(sample.open().resize(SIZES[index % len(SIZES)]), np.float32)
            noisy = np.clip(whole + random.normal(0, NOISE, whole.shape), 0, 255).astype(np.uint8)
            files.append(folder / f"{index}.jpg")
            labels.append(sample.label)
            Image.fromarray(noisy).save(files[-1], quality=90)
        return cls(tuple(files), tuple(labels), count)

    def __len__(self) -> int:
        return self.count

    def fingerprint(self) -> str:
        return f"{self.count} of {len(self.files)}"

    def __getitem__(self, index: int) -> Sample:
        file, label = (values[index % len(self.files)] for values in (self.files, self.labels))
        return Sample(
            id=f"{index}-{file.name}",
            open=lambda: open_image(file),
            label=label,
            synonyms=(label,),
            boxes=np.array([[10.0, 10.0, 120.0, 90.0]]),
        )
