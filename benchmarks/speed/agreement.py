"""Agreement: maps of the faster ways with those of the tower itself

The oracle is open_clip's own tower in float32: nothing folded, nothing compiled, no twin. *Correlation* is that of the
maps at image resolution, *IoU* that of the largest boxes at threshold 0.6 (1 where neither map has one), over bundled
scenes, each asked for its label: median, and the worst scene. *Noise* is what both come from: the standard deviation of
the masked images' score errors, as a share of that of the scores. `tiny-rn` is trained. Under random weights rounding
grows from layer to layer and scores differ little, so that their lines are worse than a trained encoder's would be.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.speed import models
from benchmarks.speed.plan import Dtype, Plan
from benchmarks.speed.tables import Table, count
from xtool.contracts.protocols import Encoder
from xtool.engine.masking import embed_masked
from xtool.engine.work import Kept, account
from xtool.image.pixels import to_pixels
from xtool.metrics.boxes import box_sweep, largest
from xtool.metrics.image_map import ImageMap
from xtool.metrics.iou import box_iou

METHODS = ("vlscore", "scorecam")
THRESHOLD = 0.6
SCENES = {"cpu": {"tiny-rn": 20, "RN50": 3}, "cuda": {"tiny-rn": 50, "RN50": 20}}
MAPS = {"tiny-rn": 10**6, "RN50": 128}
"""Of each scene, on a CPU."""

Heat = NDArray[np.float32]


def run(plan: Plan) -> None:
    row = Table("device", "encoder", "maps", "scenes", "method", "dtype", "compiled", "noise", "correlation", "box IoU")
    for device in plan.devices:
        for name in dict.fromkeys(("tiny-rn", plan.encoder)):
            scenes = 2 if plan.quick else SCENES[torch.device(device).type].get(name, 3)
            _measure(row, plan, device, name, scenes)


def _measure(row: Table, plan: Plan, device: str, name: str, scenes: int) -> None:
    oracle = models.encoder(name, device=device)
    whole = models.feature_maps(oracle, to_pixels(models.scene(0, oracle.info), oracle)).shape[1]
    maps = min(plan.limit(MAPS.get(name, 128), device) or whole, whole)
    with _no_twin(oracle):
        right, right_scores = _explained(oracle, scenes, maps)
    variants: list[tuple[Dtype, bool]] = [("float32", False), ("bfloat16", False)]
    for dtype, compiled in [*variants, *([("bfloat16", True)] if plan.compile else [])]:
        encoder = models.encoder(name, device=device, dtype=dtype, compiled=compiled)
        found, scores = _explained(encoder, scenes, maps)
        noise = [_noise(*pair) for pair in zip(scores, right_scores, strict=True)]
        for method in METHODS:
            pairs = list(zip(found[method], right[method], strict=True))
            row(
                device,
                name,
                count(maps, whole),
                scenes,
                f"`{method}`",
                dtype,
                "yes" if compiled else "no",
                f"{median(noise):.4f}",
                _told([_correlation(*pair) for pair in pairs]),
                _told([_iou(*pair) for pair in pairs]),
            )


def _explained(encoder: Encoder, scenes: int, maps: int) -> tuple[dict[str, list[Heat]], list[Tensor]]:
    """Maps at image resolution, by method and scene, and each scene's scores under all masks."""
    scores = []
    heats: dict[str, list[Heat]] = {name: [] for name in METHODS}
    methods = {name: models.method(name, encoder.info, maps) for name in METHODS}
    for index in range(scenes):
        fitted = models.scene(index, encoder.info)
        pixels = to_pixels(fitted, encoder)
        text = encoder.encode_text([f"an image of a {models.scenes()[index].label}."])
        with account(Kept()), torch.no_grad():
            for name, method in methods.items():
                low = method.explain(encoder, pixels, text).maps[0, 0].float().cpu().numpy()
                heats[name].append(ImageMap(low, fitted.geometry).full)
            masks = models.innermost(methods["scorecam"]).extractor.extract(encoder, pixels).maps
            scores.append(embed_masked(encoder, pixels, masks).embeddings[0] @ text[0])  # the methods' own, shared
    return heats, scores


@contextmanager
def _no_twin(encoder: Encoder) -> Iterator[None]:
    """Inside, every pass goes through the tower itself: xtool's twin steps back where a hook could be missed."""
    handle = encoder.visual.register_forward_hook(lambda *_: None)
    try:
        yield
    finally:
        handle.remove()


def _noise(scores: Tensor, right: Tensor) -> float:
    return float((scores - right).std() / right.std())


def _correlation(one: Heat, other: Heat) -> float:
    if one.std() == 0 or other.std() == 0:
        return float(np.array_equal(one, other))
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


def _iou(one: Heat, other: Heat) -> float:
    first, second = (largest(box_sweep(heat, [THRESHOLD]), 0) for heat in (one, other))
    if len(first) == 0 or len(second) == 0:
        return float(len(first) == len(second))
    return float(box_iou(first, second)[0, 0])


def _told(values: list[float]) -> str:
    return f"{median(values):.4f}, worst {min(values):.4f}"
