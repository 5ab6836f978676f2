"""Comparing: images a second through `compare`, one method, against the encoder alone

Both sides decode JPEGs of mixed sizes, by the same threads, and compute in the same dtype. *Encoder alone* is
`encode_image` in batches of 16 under `torch.inference_mode()`, and nothing else; `compare` also makes maps, boxes and
records, and is timed from the first image to the last record, without manifest and Parquet. *Share* is the median of
alternate measurements.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median

import torch

from benchmarks.speed import models
from benchmarks.speed.photographs import Photographs
from benchmarks.speed.plan import DTYPES, Plan
from benchmarks.speed.tables import Table
from xtool.contracts.protocols import Encoder
from xtool.evaluator.comparison import compare
from xtool.evaluator.decoding import Decoded, decoded
from xtool.evaluator.slices import sliced
from xtool.image.pixels import to_pixels

METHODS = {
    "RN50": ("gradcam", "vlscore:mask_at=pool"),
    "ViT-B-16": ("gradcam", "dense", "vlscore:mask_at=pool", "vlscore:mask_at=pool:features=attention"),
    "photo": ("gradcam", "cam", "vlscore:mask_at=pool"),
}
ONE_PASS = ("gradcam",)
BATCHES = (1, 2, 4, 8, 16, 32)
IMAGES = {"cpu": 96, "cuda": 2048}
SLOW = {"ViT-B-16": 32}
"""Images that a CPU is given for an encoder that is slow on it."""
BARE_BATCH = {"cpu": 16, "cuda": 256}


def run(plan: Plan) -> None:
    chosen = {plan.encoder: METHODS.get(plan.encoder, ONE_PASS)} if plan.quick else METHODS
    with tempfile.TemporaryDirectory(prefix="xtool-speed-") as folder:
        for device in plan.devices:
            photographs = Photographs.written(Path(folder), 4 if plan.quick else IMAGES[torch.device(device).type])
            row = Table("device", "encoder", "dtype", "method", "batch", "images/s", "encoder alone", "share")
            for name, methods in chosen.items():
                most = SLOW.get(name, len(photographs)) if device == "cpu" else len(photographs)
                some = replace(photographs, count=min(most, len(photographs)))
                for dtype in DTYPES:
                    encoder = models.encoder(name, device=device, dtype=dtype)
                    for method in methods:
                        _measure(row, plan, encoder, some, method, None)
            encoder = models.encoder(next(iter(chosen)), device=device)
            for batch in BATCHES[:2] if plan.quick else BATCHES:
                _measure(row, plan, encoder, photographs, "gradcam", batch)


def _measure(
    row: Table, plan: Plan, encoder: Encoder, photographs: Photographs, method: str, batch: int | None
) -> None:
    works = _compared(encoder, photographs, method, batch), _alone(encoder, photographs)
    ours, alone = zip(*[[work() for work in works] for _ in range(plan.rounds + 1)][1:], strict=True)  # one to warm up
    share = median(bare / own for own, bare in zip(ours, alone, strict=True))
    count = len(photographs)
    shown = "automatic" if batch is None else batch
    rates = count / median(ours), count / median(alone)
    dtype = str(encoder.dtype).removeprefix("torch.")
    row(str(encoder.device), encoder.info.name, dtype, f"`{method}`", shown, *rates, f"**{share:.2f}**")


def _compared(encoder: Encoder, photographs: Photographs, method: str, batch: int | None) -> Callable[[], float]:
    def work() -> float:
        told: list[float] = []  # at the beginning, and after each image
        with tempfile.TemporaryDirectory(prefix="xtool-speed-") as out:
            compare(
                photographs,
                methods=[method],
                encoder=encoder,
                batch=batch,
                out=Path(out) / "run",
                on_progress=lambda _: told.append(time.perf_counter()),
            )
        return told[-1] - told[0]

    return work


def _alone(encoder: Encoder, photographs: Photographs) -> Callable[[], float]:
    size = BARE_BATCH[encoder.device.type]

    def work() -> float:
        start = time.perf_counter()
        slices = sliced(range(len(photographs)), size, lambda _: ("bare",))
        for _, images in decoded(slices, photographs, (encoder.info,), "squash"):
            fitted = [image.fitted[0] for image in images if isinstance(image, Decoded)]
            with torch.inference_mode():
                encoder.encode_image(to_pixels(fitted, encoder)).cpu()
        return time.perf_counter() - start

    return work
