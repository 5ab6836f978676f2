"""Scaling: seconds of `vlscore` as one thing grows

float32; *ratio* is that to the first line. A CPU scores few of the feature maps where their number is not the question,
and each number of them once.
CLIP's towers take one size of image only, so that what grows with the size here is the engine's own work, upsampling,
scaling and applying masks, beside which the encoder's time at its own size stands for comparison.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from statistics import median

import torch

from benchmarks.speed import models
from benchmarks.speed.plan import Plan
from benchmarks.speed.tables import Table, say
from benchmarks.speed.timing import interleaved, seconds
from xtool.contracts.protocols import Encoder
from xtool.engine.masking import CHUNK
from xtool.engine.masks import scaled_masks

TEXTS = (1, 8, 64)
IMAGES = (1, 4, 16)
CHANNELS = (256, 512, 1024, 2048)
SIZES = (224, 288, 384, 448)
FEW = 64
"""Maps that a CPU scores."""


def run(plan: Plan) -> None:
    for device in plan.devices:
        _run_on(plan, device)


def _run_on(plan: Plan, device: str) -> None:
    encoder = models.encoder(plan.encoder, device=device)
    pixels = models.photograph(plan, encoder)
    whole = models.feature_maps(encoder, pixels).shape[1]
    few = min(plan.limit(FEW, device) or whole, whole)
    one = encoder.encode_text([models.TEXT])

    def explain(images: int = 1, texts: int = 1, maps: int = few) -> Callable[[], object]:
        method = models.method("vlscore", encoder.info, maps)
        batch, text = _different(pixels, images), one.expand(texts, -1)
        return torch.no_grad()(lambda: method.explain(encoder, batch, text))

    say(f"\n{plan.encoder} on {device}:")
    _table(f"texts ({few} maps)", TEXTS, [explain(texts=texts) for texts in TEXTS], plan.rounds)
    counts = [channels for channels in CHANNELS if channels < whole and channels <= (plan.maps or whole)]
    counts = [few // 2, few] if plan.quick else list(dict.fromkeys([*counts, min(plan.maps or whole, whole)]))
    slow = device == "cpu" and not plan.quick
    works = [explain(maps=channels) for channels in counts]
    _table("feature maps", counts, works, 1 if slow else plan.rounds, warm=not slow)
    images = IMAGES[:2] if plan.quick else IMAGES
    _table(f"images ({few} maps each)", images, [explain(images=number) for number in images], plan.rounds)
    _mask_cost(plan, encoder, device)
    if device == "cpu":
        _threads(plan, few, explain())


def _table(
    what: str, values: Sequence[int], works: Sequence[Callable[[], object]], rounds: int, *, warm: bool = True
) -> None:
    row = Table(what, "s", "ratio", "s each")
    taken = [median(each) for each in interleaved(works, rounds, warm=warm)]
    for value, each in zip(values, taken, strict=True):
        row(f"{value:,}", each, f"{each / taken[0]:.2f}", each / value)


def _mask_cost(plan: Plan, encoder: Encoder, device: str) -> None:
    batch = CHUNK[torch.device(device).type]
    own = torch.rand(batch, 3, *encoder.info.input_size, device=device)
    row = Table("pixels", "ms per mask: upsample, scale, apply", "ms per image: encoder alone")
    for size in SIZES:
        maps = torch.rand(batch, 1, 7, 7, device=device)
        pixels = torch.rand(1, 3, size, size, device=device)
        with torch.inference_mode():
            masks = seconds(lambda: pixels * scaled_masks(maps, (size, size)), plan.rounds) / batch  # noqa: B023
            fits = size == encoder.info.input_size[0]
            alone = seconds(lambda: encoder.encode_image(own), plan.rounds) / batch if fits else None
        row(f"{size}×{size}", 1000 * masks, None if alone is None else 1000 * alone)


def _threads(plan: Plan, few: int, work: Callable[[], object]) -> None:
    most = torch.get_num_threads()
    row = Table(f"CPU threads ({few} maps)", "s", "speed-up")
    first = None
    for number in [2**power for power in range(most.bit_length()) if 2**power <= most]:
        with _limited(number):
            taken = seconds(work, plan.rounds)
        first = first or taken
        row(number, taken, f"{first / taken:.2f}×")


@contextmanager
def _limited(threads: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _different(pixels: torch.Tensor, images: int) -> torch.Tensor:
    """[images, 3, H, W], each another view of the image, as equal masks are embedded once per image only."""
    return torch.cat([pixels.roll(8 * index, dims=3) for index in range(images)])
