"""Eigen-CAM: the first principal component of the feature maps. It does not look at the text."""

from __future__ import annotations

import torch
from torch import Tensor

from xtool.protocols import Encoder, FeatureExtractor, Saliency
from xtool_cam.config import EigenCAMConfig
from xtool_cam.formulas import apply_formula


class EigenCAM:
    """Project each position's features on the image's first principal axis (pytorch-grad-cam's formula).

    The sign of a principal axis is arbitrary, and nothing here chooses it: on some images the map shows the
    background. That is the published method, and what pytorch-grad-cam computes.
    """

    def __init__(self, config: EigenCAMConfig, extractor: FeatureExtractor) -> None:
        self.config = config
        self.extractor = extractor

    def explain(self, encoder: Encoder, pixels: Tensor, text: Tensor) -> Saliency:
        """See :meth:`xtool.protocols.SaliencyMethod.explain`. Every text gets the same map."""
        features = self.extractor.extract(encoder, pixels).maps
        component = torch.from_numpy(apply_formula("EigenCAM", features.detach().float().cpu().numpy()))
        maps = component.to(pixels.device)[:, None].repeat(1, len(text), 1, 1)
        return Saliency(maps, present=torch.ones(maps.shape[:2], dtype=torch.bool, device=pixels.device))
