"""Two encoders in one question: one gives the feature maps, another judges what is seen under them.

A method's option ``features_from`` names the first; the second is the encoder that is explained. So DINO can propose
what CLIP disposes of. What the first gets is the input of the second, brought to its own size and colours: both see the
same part of the picture, and maps of the one lie over the input of the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import torch

from xtool.contracts.protocols import FeatureMaps
from xtool.engine.encoders import load_encoder
from xtool.engine.work import shared
from xtool.image.pixels import refitted

if TYPE_CHECKING:
    from torch import Tensor

    from xtool.contracts.protocols import Encoder, FeatureExtractor
    from xtool.engine.encoders import CountedEncoder

__all__ = ["WEIGHTS", "FeaturesFrom", "load_source"]

WEIGHTS = "@"
"""Between the name of an encoder and its weights."""
KEPT = 4
"""Encoders that stay loaded for the next question."""


@lru_cache(maxsize=KEPT)
def load_source(asked: str, device: torch.device | None = None) -> CountedEncoder:
    """The encoder that ``features_from`` names.

    Args:
        asked: its name, or name and weights: ``"photo"``, ``"RN50@openai"``, ``"RN50@none"``.
        device: the best available by default.

    Raises what :func:`load_encoder` raises.
    """
    name, at, weights = asked.partition(WEIGHTS)
    where = "auto" if device is None else str(device) if device.type == "cuda" else device.type
    return load_encoder(name, pretrained=weights if at else "auto", device=where)


@dataclass(frozen=True, slots=True)
class FeaturesFrom:
    """Feature maps of one encoder beside the image embedding of another, a pass through each.

    The embedding does not depend on the maps, so no gradient leads from one to the other.
    """

    source: Encoder
    extractor: FeatureExtractor
    """Reads the source."""

    def extract(self, encoder: Encoder, pixels: Tensor) -> FeatureMaps:
        """See :meth:`xtool.plugin.FeatureExtractor.extract`; ``pixels`` are the input of ``encoder``, which judges."""
        source = self.source

        def seen() -> Tensor:
            return refitted(pixels.detach(), encoder.info, source.info).to(source.device)

        with torch.no_grad():
            theirs = shared(("refitted",), (pixels, source.visual), seen)
            maps = self.extractor.extract(source, theirs).maps.to(pixels.device)
        if torch.is_grad_enabled() and pixels.requires_grad:
            return FeatureMaps(maps, encoder.encode_image(pixels))  # a graph is freed by its user and cannot be shared
        return FeatureMaps(maps, shared(("embedding",), (encoder.visual, pixels), lambda: encoder.encode_image(pixels)))
