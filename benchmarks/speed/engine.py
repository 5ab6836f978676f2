"""Engine: masked images a second, as a share of what the encoder alone does

The engine upsamples, scales and applies the masks, embeds, and collects the scores; 1.00 would say that all but the
embedding is free. It is measured in turn with open_clip's tower at its best layout and batch (the one that the section
*Encoder* finds), and with xtool's own `encode_image` at its best batch, which is the stricter measure. Medians over the
rounds, the shares' spread in brackets.
"""

from __future__ import annotations

from statistics import median

import torch

from benchmarks.speed import bare, models
from benchmarks.speed.plan import DTYPES, Dtype, Plan
from benchmarks.speed.tables import Table
from benchmarks.speed.timing import interleaved
from xtool.engine.masking import embed_masked

MASKS = {"cpu": 128, "cuda": 2048}
ROUNDS = 5
"""At least; a ratio of two noisy things needs more than one of them."""


def run(plan: Plan) -> None:
    row = Table(
        "device",
        "dtype",
        "compiled",
        "masks",
        "masked images/s",
        "open_clip images/s",
        "share",
        "xtool images/s",
        "share",
    )
    for device in plan.devices:
        for dtype in DTYPES:
            for compiled in plan.compiled:
                _measure(row, plan, device, dtype, compiled)


def _measure(row: Table, plan: Plan, device: str, dtype: Dtype, compiled: bool) -> None:
    masks = plan.maps or (32 if plan.quick else MASKS[torch.device(device).type])
    encoder = models.encoder(plan.encoder, device=device, dtype=dtype, compiled=compiled)
    pixels = models.photograph(plan, encoder)
    maps = torch.rand(1, masks, 7, 7, device=device)  # none like another, so none is spared

    def engine() -> object:
        return embed_masked(encoder, pixels, maps)

    plain, own = (bare.best(plan, device, dtype, own=own, compiled=compiled) for own in (False, True))
    rounds = plan.rounds if plan.quick else max(ROUNDS, plan.rounds)
    masked_s, plain_s, own_s = interleaved([engine, plain.work(), own.work()], rounds)
    shares = [
        [(masks / one) / (form.batch / other) for one, other in zip(masked_s, others, strict=True)]
        for form, others in ((plain, plain_s), (own, own_s))
    ]
    row(
        device,
        dtype,
        "yes" if compiled else "no",
        masks,
        masks / median(masked_s),
        plain.batch / median(plain_s),
        _share(shares[0]),
        own.batch / median(own_s),
        _share(shares[1]),
    )


def _share(values: list[float]) -> str:
    return f"**{median(values):.2f}** ({min(values):.2f}–{max(values):.2f})"
