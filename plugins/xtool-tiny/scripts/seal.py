"""Make the sealed benchmark ``scenes``: four splits, each one zip of JPEG images, label maps and annotations.

    uv run python plugins/xtool-tiny/scripts/seal.py --drawings D.npz

Anyone who runs it with the pinned drawings gets the same scenes (the same bytes, with the same OpenCV and Pillow).
"""

from __future__ import annotations

import argparse
import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from PIL import Image

from xtool_tiny.compose import Placed, Recipe, Scene, compose
from xtool_tiny.drawings import Drawings, load
from xtool_tiny.things import things

SEED = 20260
QUALITY = 70
CROWDED = Recipe(counts=(0.15, 0.35, 0.3, 0.2), repeat=0.15, jpeg=0.0)


@dataclass(frozen=True, slots=True)
class Split:
    """One split: how many scenes of which kind, drawn by whom."""

    count: int
    recipe: Recipe
    role: Literal["train", "held-out"]


SPLITS = {
    "test": Split(320, CROWDED, "train"),
    "val": Split(160, CROWDED, "train"),
    "cross": Split(160, CROWDED, "held-out"),
    "single": Split(2 * len(things()), Recipe(counts=(1.0,), jpeg=0.0), "train"),
}


def annotate(rng: np.random.Generator, scene: Scene) -> dict[str, Any]:
    """Choose what to look for, what is there besides, and what is certainly not."""
    here = sorted({placed.thing for placed in scene.objects})
    label = here[int(rng.integers(len(here)))]
    others = [name for name in here if name != label]
    missing = [thing.name for thing in things() if thing.name not in here]
    return {
        "label": label,
        "absent": missing[int(rng.integers(len(missing)))],
        "distractor": others[int(rng.integers(len(others)))] if others else None,
        "objects": [
            {"thing": placed.thing, "vendor": placed.vendor, "box": list(placed.box)} for placed in scene.objects
        ],
    }


def label_map(objects: tuple[Placed, ...], size: int) -> Image.Image:
    """One grey value per object: 0 for the background, n + 1 where object n is visible."""
    values = np.zeros((size, size), np.uint8)
    for index, placed in enumerate(objects):
        values[placed.mask] = index + 1
    return Image.fromarray(values)


def write(path: Path, split: Split, drawings: Drawings, seed: tuple[int, int]) -> None:
    """Compose a split and write it, with fixed time stamps so that the same scenes are the same file."""
    rng, names = np.random.default_rng(seed), [thing.name for thing in things()]
    available = {thing for _, thing in drawings}
    order = [name for name in names if name in available]
    annotations = []
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for index in range(split.count):
            # Things in turn as the first object, so that no thing is missing by chance.
            scene = compose(rng, drawings, split.recipe, first=order[index % len(order)])
            annotations.append(annotate(rng, scene))
            _add(archive, f"{index:04d}.jpg", _jpeg(scene))
            masks = io.BytesIO()
            label_map(scene.objects, split.recipe.size).save(masks, "PNG", optimize=True)
            _add(archive, f"{index:04d}.png", masks.getvalue())
        _add(archive, "annotations.json", json.dumps(annotations, separators=(",", ":")).encode())


def _jpeg(scene: Scene) -> bytes:
    packed = io.BytesIO()
    Image.fromarray(scene.image).save(packed, "JPEG", quality=QUALITY, optimize=True)
    return packed.getvalue()


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name)
    entry.compress_type = zipfile.ZIP_STORED if name.endswith(("jpg", "png")) else zipfile.ZIP_DEFLATED
    archive.writestr(entry, content)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = Path(__file__).parents[1] / "src/xtool_tiny/data/scenes"
    parser.add_argument("--drawings", type=Path, required=True, help="archive made by drawings.py")
    parser.add_argument("--out", type=Path, default=data, help="folder of the zips  [default: inside the package]")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(1)
    for index, (name, split) in enumerate(SPLITS.items()):
        path = options.out / f"{name}.zip"
        write(path, split, load(options.drawings, split.role), (SEED, index))
        print(f"{name}: {split.count} scenes, {path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
