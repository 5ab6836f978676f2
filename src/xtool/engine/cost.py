"""How long an explanation will take: passes through the encoder, times the measured seconds of one."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from xtool.contracts.config import FeatureConfig, MaskConfig
from xtool.engine.features import build_extractor
from xtool.engine.methods import MethodRequest, resolve_options
from xtool.errors import XtoolError

if TYPE_CHECKING:
    from torch import Tensor

    from xtool.contracts.protocols import Encoder

__all__ = ["SLOW_SECONDS", "Estimate", "count_passes", "passes_of", "seconds_per_pass"]

SLOW_SECONDS = 20.0
"""Longer work on a CPU is announced before it starts."""

MEASURED_IMAGES = 4

_PRODUCT = re.compile(r"\s*[·*×]\s*")


@dataclass(frozen=True, slots=True)
class Estimate:
    """What an explanation is expected to cost."""

    passes: int
    """Images through the encoder."""
    seconds: float
    device: str

    @property
    def slow(self) -> bool:
        """Whether to say so before it starts. Accelerators are quick enough to just try."""
        return self.device == "cpu" and self.seconds > SLOW_SECONDS


def count_passes(forwards: str, sizes: Mapping[str, int]) -> int | None:
    """Work out a spec's ``forwards``, a sum of products such as ``"2 + C"``; ``None`` where a name is unknown."""
    total = 0
    for term in forwards.split("+"):
        product = 1
        for factor in _PRODUCT.split(term.strip()):
            if factor.isdecimal():
                product *= int(factor)
            elif factor in sizes:
                product *= sizes[factor]
            else:
                return None
        total += product
    return total


def passes_of(request: MethodRequest, encoder: Encoder, pixels: Tensor, texts: int) -> int:
    """Passes that a method needs for one image, at most: shared and kept work is subtracted while it runs.

    Where they depend on the number of feature maps, those are extracted, to be shared with the method itself.
    """
    request = resolve_options(request, encoder.info, encoder.device)
    config = request.config
    sizes = {name: value for name, value in config if isinstance(value, int) and not isinstance(value, bool)}
    if "C" in request.provided.spec.forwards:
        pooled = isinstance(config, MaskConfig) and config.masks_at(encoder.info) == "pool"
        channels = 0 if pooled else _channels(request, encoder, pixels)
        top_k = sizes.get("top_k")
        # Methods that rank maps by text score at most k for each text.
        sizes["C"] = channels if top_k is None else min(channels, top_k * texts)
    sizes["T"] = texts
    passes = count_passes(request.provided.spec.forwards, sizes) or 1
    passes = passes if request.source is None else passes + 1
    passes = 2 * passes if config.flip else passes
    return passes + 1 if "caa" in (config.refine or "") else passes


def seconds_per_pass(encoder: Encoder, clock: Callable[[], float] = time.perf_counter) -> float:
    """Measure one image's way through the encoder, warm and within a small batch, in seconds."""
    height, width = encoder.info.input_size
    pixels = torch.zeros(MEASURED_IMAGES, 3, height, width, device=encoder.device)
    with torch.inference_mode():
        encoder.encode_image(pixels).cpu()
        taken = []
        for _ in range(2):
            start = clock()
            encoder.encode_image(pixels).cpu()
            taken.append(clock() - start)
        # The quicker one: what else the machine was doing says nothing about the encoder.
        return min(taken) / MEASURED_IMAGES


def _channels(request: MethodRequest, encoder: Encoder, pixels: Tensor) -> int:
    config, info = request.config, encoder.info
    if isinstance(config, FeatureConfig):
        asked = [(config.features, config.layer, config.pca, config.clusters)]
    else:
        asked = [("auto", str(getattr(config, "layer", "auto")), None, None), ("auto", "auto", None, None)]
    for features, layer, pca, clusters in asked:
        try:
            extractor = build_extractor(features, layer, pca, info, clusters=clusters, source=request.source)
            with torch.no_grad():
                return int(extractor.extract(encoder, pixels).maps.shape[1])
        except XtoolError:
            continue  # the method itself says it better, or reads layers in its own way
    return 1
