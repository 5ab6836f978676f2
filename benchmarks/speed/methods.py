"""Methods: seconds, passes and memory of one image and one text

float32. Each line is a process of its own: it loads the encoder, embeds one image, runs the method once to see its peak
memory above that, and then for the time. A CPU is given only some of the feature maps of the large encoders (*maps*);
what the whole layer would take is then **not measured but scaled up** by the number of passes, and marked ≈. The share
is passes a second, divided by those of `encode_image` on full batches in the same process.
"""

from __future__ import annotations

import multiprocessing
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.speed import models
from benchmarks.speed.peak import peak_above
from benchmarks.speed.plan import Plan
from benchmarks.speed.tables import Table, count, say
from benchmarks.speed.timing import once, seconds
from xtool.contracts.protocols import Encoder
from xtool.contracts.registry import registry
from xtool.engine.masking import CHUNK
from xtool.engine.methods import parse_methods
from xtool.engine.work import Kept, account
from xtool.errors import UsageError

ENCODERS = {"tiny-rn": 10**6, "RN50": 256, "RN50x4": 64, "ViT-B-16": 64}
"""And how many of its maps a CPU is given."""
METHODS = ("vlscore", "vlscore:preset=fast", "scorecam", "gradcam", "layercam", "hirescam", "eigencam")
SCORES_ALL = ("vlscore", "scorecam")
"""Methods that mask with every map there is."""
MANY = 8
"""Passes from which a share of the bare encoder says something."""
LONG = 3.0
"""Seconds from which one measurement must do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One line of the table, to be measured in a process of its own."""

    device: str
    encoder: str
    weights: str
    method: str
    maps: int | None
    rounds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What came of it."""

    scored: int
    whole: int
    forwards: int
    seconds: float
    bare: float | None
    """Images a second through the encoder alone, where a share of it is asked for."""
    peak: float | None


def run(plan: Plan) -> None:
    row = Table("device", "encoder", "method", "maps", "passes", "s", "s, all maps", "share", "peak MiB")
    refused = []
    context = multiprocessing.get_context("spawn")
    for device in plan.devices:
        for encoder, maps in ENCODERS.items() if not plan.quick else [(plan.encoder, 32)]:
            for method in _registered(encoder):
                limit = plan.limit(maps, device) if method in SCORES_ALL else None
                cell = Cell(
                    device=device,
                    encoder=encoder,
                    weights=models.weights_of(encoder),
                    method=method,
                    maps=limit,
                    rounds=plan.rounds,
                )
                with context.Pool(1) as pool:
                    found = pool.apply(measure, (cell,))
                if isinstance(found, str):
                    refused.append(f"- `{method}` does not run on {encoder}: {found}")
                else:
                    row(*_cells(cell, found))
    if refused:
        say("\n" + "\n".join(refused))


def measure(cell: Cell) -> Measured | str:
    """Measure one line, or say why it cannot be."""
    encoder = models.encoder(cell.encoder, device=cell.device, weights=cell.weights)
    pixels = models.photograph(Plan(), encoder)
    whole = models.feature_maps(encoder, pixels).shape[1]
    scored = min(cell.maps or whole, whole)
    method = models.method(cell.method, encoder.info, scored if cell.method in SCORES_ALL else None)
    text = encoder.encode_text([models.TEXT])
    with torch.inference_mode():
        encoder.encode_image(pixels)
    forwards = first = 0.0

    def explain() -> None:
        nonlocal forwards
        with account(Kept()) as work, torch.no_grad():
            method.explain(encoder, pixels, text)
        forwards = work.forwards

    def timed() -> None:
        nonlocal first
        first = once(explain)

    try:
        peak = peak_above(timed, cell.device)
    except UsageError as error:
        return str(error)
    taken = seconds(explain, 1 if first > LONG else cell.rounds, warm=False)
    return Measured(
        scored=scored,
        whole=whole,
        forwards=int(forwards),
        seconds=taken,
        bare=_bare(encoder, pixels, cell) if forwards >= MANY else None,
        peak=peak,
    )


def _bare(encoder: Encoder, pixels: Tensor, cell: Cell) -> float:
    batch = torch.rand(CHUNK[torch.device(cell.device).type], *pixels.shape[1:], device=cell.device)
    with torch.inference_mode():
        return len(batch) / seconds(lambda: encoder.encode_image(batch), cell.rounds)


def _registered(encoder: str) -> list[str]:
    """The methods that know this encoder's architecture, as far as they are installed."""
    installed = {provided.spec.name for provided in registry().saliency_methods}
    vit = "vit" in encoder.lower()
    return [
        method
        for method in METHODS
        if method.partition(":")[0] in installed
        and ("vit" if vit else "cnn") in parse_methods([method])[0].provided.spec.architectures
    ]


def _cells(cell: Cell, found: Measured) -> list[object]:
    every = cell.method in SCORES_ALL
    partly = every and found.scored < found.whole
    scaled = found.seconds * (found.forwards + found.whole - found.scored) / found.forwards
    return [
        cell.device,
        cell.encoder,
        f"`{cell.method}`",
        count(found.scored, found.whole) if every else None,
        f"{found.forwards:,}",
        found.seconds,
        f"≈ {scaled:.1f}" if partly else found.seconds,
        f"{found.forwards / found.seconds / found.bare:.2f}" if found.bare else None,
        found.peak,
    ]
