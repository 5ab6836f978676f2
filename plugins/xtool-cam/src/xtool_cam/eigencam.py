"""Eigen-CAM: the first principal component of the feature maps. It does not look at the text."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from xtool.plugin import Encoder, FeatureExtractor, Saliency
from xtool_cam.config import EigenCAMConfig
from xtool_cam.formulas import signed_formula


class EigenCAM:
    """Project each position's features on the image's first principal axis (pytorch-grad-cam's formula).

    The sign of a principal axis is arbitrary. pytorch-grad-cam takes the one that the linear algebra library happens to
    give, which differs between machines and batch sizes. Here it is the one in which the largest value is positive (the
    usual convention), so that a run can be repeated. On some images that is the background.
    """

    def __init__(self, config: EigenCAMConfig, extractor: FeatureExtractor) -> None:
        self.config = config
        self.extractor = extractor

    def explain(self, encoder: Encoder, pixels: Tensor, text: Tensor) -> Saliency:
        """See :meth:`xtool.plugin.SaliencyMethod.explain`. Every text gets the same map."""
        features = self.extractor.extract(encoder, pixels).maps
        activations = features.detach().float().cpu().numpy()
        component = signed_formula("EigenCAM", activations)
        upright = component.max(axis=(1, 2), keepdims=True) >= -component.min(axis=(1, 2), keepdims=True)
        component = np.where(upright, component, -component).clip(min=0)
        maps = torch.from_numpy(component).to(pixels.device)[:, None].repeat(1, len(text), 1, 1)
        return Saliency(maps, present=None)
