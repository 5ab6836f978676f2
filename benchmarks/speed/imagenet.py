"""ImageNet: what its 50,000 validation images would take, scaled up from 500 photographs of mixed sizes

`compare` with `vlscore:mask_at=pool` on RN50 in float32, once, with decoding, boxes and records. **The hours are not
measured but scaled up** by the number of images; embedding the texts of the thousand classes, once, is not in them.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path

from benchmarks.speed import models
from benchmarks.speed.photographs import Photographs
from benchmarks.speed.plan import Plan
from benchmarks.speed.tables import Table
from benchmarks.speed.timing import once
from xtool.evaluator.comparison import compare

METHOD = "vlscore:mask_at=pool"
IMAGES = 500
WHOLE = 50_000


def run(plan: Plan) -> None:
    count = 4 if plan.quick else IMAGES
    row = Table("device", "encoder", "method", "images", "images/s", f"h for {WHOLE:,}")
    with tempfile.TemporaryDirectory(prefix="xtool-speed-") as folder:
        photographs = Photographs.written(Path(folder), count)
        few = replace(photographs, count=len(photographs.files))  # all texts that are asked for
        for device in plan.devices:
            encoder = models.encoder(plan.encoder, device=device)
            compare(few, methods=[METHOD], encoder=encoder, out=Path(folder) / f"warm-{device}")
            out = Path(folder) / f"run-{device}"
            taken = once(partial(compare, photographs, methods=[METHOD], encoder=encoder, out=out))
            row(device, encoder.info.name, f"`{METHOD}`", count, count / taken, WHOLE * taken / count / 3600)
