"""Memory: peak above the loaded model while one image is scored under all masks

Each line is a process of its own, since a process keeps what it has once taken: one batch through the encoder alone,
xtool's mask engine at several batch sizes, and pytorch-grad-cam's Score-CAM, all given the same number of masks.
"""

from __future__ import annotations

import multiprocessing
from importlib.util import find_spec

import torch

from benchmarks.speed import models
from benchmarks.speed.peak import peak_above
from benchmarks.speed.plan import Plan
from benchmarks.speed.tables import Table
from xtool.contracts.protocols import Encoder
from xtool.engine.masking import embed_masked

MASKS = 2048
ENGINE, ALONE, GRAD_CAM = "xtool", "encoder alone, one batch", "pytorch-grad-cam, Score-CAM"
LINES = ((ALONE, 32), (ENGINE, 16), (ENGINE, 32), (ENGINE, 64), (GRAD_CAM, 32))


def run(plan: Plan) -> None:
    row = Table("device", "tool", "batch", "masks", "peak MiB")
    masks = plan.maps or (16 if plan.quick else MASKS)
    weights = models.weights_of(plan.encoder)
    spawn = multiprocessing.get_context("spawn")
    for device in plan.devices:
        for tool, batch in LINES:
            if tool == GRAD_CAM and find_spec("pytorch_grad_cam") is None:
                continue
            with spawn.Pool(1) as pool:
                peak = pool.apply(measure, (tool, plan.encoder, weights, device, batch, masks))
            row(device, tool, batch, f"{masks:,}", peak)


def measure(tool: str, name: str, weights: str, device: str, batch: int, masks: int) -> float | None:
    """MiB at the peak, in a process that has embedded one image."""
    torch.manual_seed(0)
    encoder = models.encoder(name, device=device, weights=weights)
    height, width = encoder.info.input_size
    pixels = torch.rand(1, 3, height, width, device=device)
    maps = torch.rand(1, masks, 7, 7, device=device)
    with torch.inference_mode():
        encoder.encode_image(pixels)
        if tool == ALONE:
            return peak_above(lambda: encoder.encode_image(torch.rand(batch, *pixels.shape[1:], device=device)), device)
    if tool == ENGINE:
        return peak_above(lambda: embed_masked(encoder, pixels, maps, batch=batch), device)
    return peak_above(lambda: _score_cam(encoder, pixels, maps, batch), device)


def _score_cam(encoder: Encoder, pixels: torch.Tensor, maps: torch.Tensor, batch: int) -> None:
    """pytorch-grad-cam's own loop, given the same feature maps."""
    from pytorch_grad_cam import ScoreCAM

    text = encoder.encode_text([models.TEXT])[0]
    with ScoreCAM(model=encoder.visual, target_layers=[encoder.visual]) as cam:
        cam.batch_size = batch
        cam.get_cam_weights(pixels, None, [lambda output: output @ text], maps.cpu().numpy(), None)
