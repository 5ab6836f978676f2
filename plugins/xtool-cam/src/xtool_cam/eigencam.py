"""Eigen-CAM: the first principal component of the feature maps. It does not look at the text."""

from __future__ import annotations

import torch
from torch import Tensor

from xtool.plugin import Encoder, FeatureExtractor, Saliency
from xtool_cam.config import EigenCAMConfig
from xtool_cam.formulas import eigencam


class EigenCAM:
    """ReLU of each position's features along the image's first principal axis (Muhammad and Yeasin 2020).

    The axis points to where the value of the largest magnitude is positive, so that a run can be repeated
    (pytorch-grad-cam takes either end, as the linear algebra library has it). On some images that is the background.
    """

    def __init__(self, config: EigenCAMConfig, extractor: FeatureExtractor) -> None:
        self.config = config
        self.extractor = extractor

    @torch.no_grad()
    def explain(self, encoder: Encoder, pixels: Tensor, text: Tensor) -> Saliency:
        """See :meth:`xtool.plugin.SaliencyMethod.explain`. Every text gets the same map."""
        maps = eigencam(self.extractor.extract(encoder, pixels).maps.float()).relu()
        return Saliency(maps[:, None].repeat(1, text.shape[-2], 1, 1), present=None)
