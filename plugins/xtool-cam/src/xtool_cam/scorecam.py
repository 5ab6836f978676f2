"""Score-CAM: feature maps as masks, weighed by the score of the masked image."""

from __future__ import annotations

import torch
from torch import Tensor

from xtool.plugin import Encoder, FeatureExtractor, Saliency, embed_masked
from xtool_cam.config import ScoreCAMConfig


class ScoreCAM:
    """ReLU(Σ_c w_c A_c) with w the softmax over maps of cos(f(mask_c · x), t)/temperature.

    At temperature 1 this is pytorch-grad-cam's Score-CAM: masks upsampled with ``align_corners=True``, raw scores
    without a base image, weights on the low-resolution activations. Cosines lie so close together that the weights
    are then nearly uniform; a lower temperature lets the text decide.
    """

    def __init__(self, config: ScoreCAMConfig, extractor: FeatureExtractor) -> None:
        self.config = config
        self.extractor = extractor

    @torch.no_grad()
    def explain(self, encoder: Encoder, pixels: Tensor, text: Tensor) -> Saliency:
        """See :meth:`xtool.plugin.SaliencyMethod.explain`. Costs 2 + C forward passes for any number of texts."""
        features = self.extractor.extract(encoder, pixels).maps
        masked = embed_masked(encoder, pixels, features, base="zero", align_corners=True, batch=self.config.batch)
        scores = torch.einsum("bcd,td->btc", masked.embeddings, text.float())
        weights = (scores / self.config.temperature).softmax(dim=2)
        maps = torch.einsum("btc,bchw->bthw", weights, features.float()).relu()
        return Saliency(maps, present=None)
