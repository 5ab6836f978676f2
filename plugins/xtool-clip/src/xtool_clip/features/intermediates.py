"""Feature maps through open_clip's public ``forward_intermediates``."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn import functional as F

from xtool.plugin import Encoder, FeatureMaps, UsageError


def read_intermediate(encoder: Encoder, pixels: Tensor, index: int) -> FeatureMaps:
    """Maps of the layer with this index and the image embedding, from one pass.

    Raises :class:`xtool.plugin.UsageError` for an image tower that is not open_clip's.
    """
    forward: Any = getattr(encoder.visual, "forward_intermediates", None)
    if forward is None:
        raise UsageError(f"{encoder.info.name} has an image tower without open_clip's forward_intermediates")
    # Ask for the last layer too: open_clip's ResNet stops after the deepest layer asked for, and then pools that.
    last = len(encoder.info.layers) - 1
    output = forward(pixels, indices=sorted({index, last}), output_fmt="NCHW")
    maps: Tensor = output["image_intermediates"][0]
    return FeatureMaps(
        # A cast would be a copy that the embedding does not depend on, and no gradient would reach it.
        maps=maps if maps.requires_grad else maps.float(),
        embedding=F.normalize(output["image_features"].float(), dim=-1),
    )
