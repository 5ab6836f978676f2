"""Which feature maps matter most for a text, from one backward pass."""

from __future__ import annotations

import torch
from torch import Tensor

from xtool.plugin import Encoder, FeatureExtractor, FeatureMaps, UsageError, live_maps, matches
from xtool_vlscore.config import VLScoreConfig


def ranked_maps(
    extractor: FeatureExtractor, encoder: Encoder, pixels: Tensor, text: Tensor, config: VLScoreConfig
) -> tuple[FeatureMaps, Tensor]:
    """Feature maps, and the place [B, T, C] of each in the order of importance, 0 the most important.

    Dead maps come last.

    Raises:
        UsageError: the embedding cannot be differentiated with respect to the maps.
    """
    with torch.inference_mode(False), torch.enable_grad():
        # Clones: what was made in inference mode cannot be saved for backward.
        features = extractor.extract(encoder, pixels.detach().clone().requires_grad_())
        importance = []
        for column in matches(features.embedding.float(), text.clone()):
            gradient = None
            if column.requires_grad and features.maps.requires_grad:
                (gradient,) = torch.autograd.grad(column.sum(), features.maps, retain_graph=True, allow_unused=True)
            if gradient is None:
                info = encoder.info
                way_out = f"use features={info.default_features}, no pca and no clusters, or "
                raise UsageError(
                    "vlscore: top_k and stop_at rank feature maps by their gradient, and the embedding does not depend "
                    f"on features={config.features!r} (reduced or not) in a way that can be differentiated; "
                    f"{way_out if info.architecture == 'cnn' else ''}leave top_k and stop_at out"
                )
            evidence = gradient * features.maps if config.importance == "contribution" else gradient
            importance.append(evidence.detach().float().mean(dim=(2, 3)))
    maps = features.maps.detach().float()
    ranked = torch.stack(importance, dim=1).masked_fill(~live_maps(maps)[:, None], -torch.inf)
    order = ranked.argsort(dim=2, descending=True, stable=True)
    return FeatureMaps(maps, features.embedding.detach()), order.argsort(dim=2)
