"""Peak memory, above the loaded model, of scoring one image under every mask of a random-weight RN50.

    uv run python benchmarks/memory.py

Each line is a process of its own: one batch through the encoder alone, xtool's mask engine at several batch sizes, and
pytorch-grad-cam's Score-CAM with the same number of masks to a batch. All run the 2,048 masks of layer4 unless
``--masks`` says fewer.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import sys

MIB = 2**20


def peak_bytes() -> int:
    """The largest resident set of this process so far. (Linux counts in KiB, macOS in bytes.)"""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def measure(tool: str, batch: int, masks: int) -> float:
    """MiB at the peak above the model with one batch of plain embeddings behind it."""
    import torch

    import xtool

    torch.manual_seed(0)
    encoder = xtool.load_encoder("RN50", pretrained=None, device="cpu")
    pixels = torch.rand(1, 3, 224, 224)
    with torch.inference_mode():
        encoder.encode_image(pixels)
    before = peak_bytes()
    maps = torch.rand(1, masks, 7, 7)
    if tool == "bare encoder":
        with torch.inference_mode():
            encoder.encode_image(torch.rand(batch, 3, 224, 224))
    elif tool == "xtool":
        from xtool.engine.masking import embed_masked

        embed_masked(encoder, pixels, maps, batch=batch)
    else:
        score_cam(encoder, pixels, maps, batch)
    return (peak_bytes() - before) / MIB


def score_cam(encoder: object, pixels: object, maps: object, batch: int) -> None:
    """pytorch-grad-cam's own loop, given the same feature maps."""
    from typing import Any

    from pytorch_grad_cam import ScoreCAM

    held: Any = encoder
    given: Any = maps
    text = held.encode_text(["an image of a dog."])[0]
    with ScoreCAM(model=held.visual, target_layers=[held.visual.layer4]) as cam:
        cam.batch_size = batch
        cam.get_cam_weights(pixels, None, [lambda output: output @ text], given.numpy(), None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--masks", type=int, default=2048)
    masks = parser.parse_args().masks
    context = multiprocessing.get_context("spawn")
    print(f"{'tool':18} {'batch':>5} {'masks':>5} {'peak MiB above the model':>25}")
    for tool, batch in (("bare encoder", 32), ("xtool", 16), ("xtool", 32), ("xtool", 64), ("pytorch-grad-cam", 32)):
        with context.Pool(1) as pool:
            print(f"{tool:18} {batch:5} {masks:5} {pool.apply(measure, (tool, batch, masks)):25.0f}", flush=True)


if __name__ == "__main__":
    main()
