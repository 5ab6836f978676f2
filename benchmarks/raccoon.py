"""The first minute of a newcomer, forty times over: is the raccoon found, is there a box around it, and is no car seen?

    uv run python -m benchmarks.raccoon --data DIR

``DIR`` holds ``JPEGImages`` and ``Annotations``: photographs of raccoons with VOC boxes. Each photograph is asked what
``xtool explain PHOTO --text raccoon --text car`` asks it: the same defaults, through the same code, in one process.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import numpy as np

from xtool.datasets.opening import open_dataset
from xtool.engine.encoders import load_encoder
from xtool.engine.methods import parse_methods, suggested_methods
from xtool.explainer import Explainer
from xtool.metrics.iou import box_iou

TEXTS = ("raccoon", "car")
FOUND = 0.5
"""IoU above which a box is around the raccoon."""


def main() -> None:
    """Print one line per photograph, and the counts."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", type=Path, required=True, help="folder of the photographs")
    options.add_argument("--encoder", help="by default the one that `xtool explain` takes")
    options.add_argument("--methods", help="by default the one that `xtool explain` takes")
    given = options.parse_args()
    encoder = load_encoder(given.encoder)
    requests = parse_methods([given.methods or suggested_methods()[0]])
    dataset = open_dataset("voc", given.data)
    counts: Counter[str] = Counter()
    for index in range(len(dataset)):
        sample = dataset[index]
        (answer,) = Explainer(sample.open(), encoder).explain(TEXTS, requests)[:1]
        boxes = answer.boxes()[0]
        ious = box_iou(boxes, sample.boxes).max(axis=1, initial=0.0)
        best = float(ious.max(initial=0.0))
        largest = float(ious[np.prod(boxes[:, 2:] - boxes[:, :2], axis=1).argmax()]) if len(boxes) else 0.0
        raccoon, car = (verdict.words for verdict in answer.verdicts)
        told = answer.present.tolist() if answer.present is not None else [None, None]
        counts.update(
            {
                "photographs": 1,
                "raccoon present": told[0] is True,
                "raccoon shown as present": raccoon == "present",
                "raccoon shown as absent": raccoon == "absent",
                "a box with IoU > 0.5": best > FOUND,
                "the largest box with IoU > 0.5": largest > FOUND,
                "car absent": told[1] is False,
                "car shown as absent": car == "absent",
                "car shown as present": car == "present",
            }
        )
        evidence = "" if answer.scores is None else " ".join(f"{score:.3f}" for score in answer.scores.tolist())
        print(f"{sample.id}: raccoon {raccoon}, car {car}, evidence {evidence}, IoU {best:.2f}", flush=True)
    print(f"\n{encoder.info.name}, {requests[0].label}")
    print("\n".join(f"{count:3d} {name}" for name, count in counts.items()))


if __name__ == "__main__":
    main()
