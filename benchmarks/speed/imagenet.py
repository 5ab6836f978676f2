"""ImageNet: what its 50,000 validation images would take, scaled up from 500 photographs of mixed sizes

`compare` with `vlscore:mask_at=pool` on RN50, once, with decoding, boxes and records. **The hours are not
measured but scaled up** by the number of images; embedding the texts of the thousand classes, once, is not in them.
"""

from __future__ import annotations

import itertools
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path

from benchmarks.speed import models
from benchmarks.speed.photographs import Photographs
from benchmarks.speed.plan import DTYPES, Plan
from benchmarks.speed.tables import Table
from benchmarks.speed.timing import once
from xtool.evaluator.comparison import compare

METHOD = "vlscore:mask_at=pool"
IMAGES = 500
WHOLE = 50_000


def run(plan: Plan) -> None:
    count = 4 if plan.quick else IMAGES
    row = Table("device", "encoder", "dtype", "method", "images", "images/s", f"h for {WHOLE:,}")
    with tempfile.TemporaryDirectory(prefix="xtool-speed-") as folder:
        photographs = Photographs.written(Path(folder), count)
        few = replace(photographs, count=len(photographs.files))  # all texts that are asked for
        for device, dtype in itertools.product(plan.devices, DTYPES):
            encoder = models.encoder(plan.encoder, device=device, dtype=dtype)
            compare(few, methods=[METHOD], encoder=encoder, out=Path(folder) / f"warm-{device}-{dtype}")
            out = Path(folder) / f"run-{device}-{dtype}"
            taken = once(partial(compare, photographs, methods=[METHOD], encoder=encoder, out=out))
            row(device, encoder.info.name, dtype, f"`{METHOD}`", count, count / taken, WHOLE * taken / count / 3600)
