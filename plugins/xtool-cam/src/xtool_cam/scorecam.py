"""Score-CAM: feature maps as masks, weighted by the score of the masked image."""

from __future__ import annotations

import torch
from torch import Tensor

from xtool.plugin import Encoder, FeatureExtractor, Saliency, embed_masked
from xtool_cam.config import ScoreCAMConfig


class ScoreCAM:
    """ReLU(Σ_c w_c A_c) with w the softmax over maps of cos(f(mask_c · x), t)/temperature.

    At temperature 1 this is pytorch-grad-cam's Score-CAM: masks upsampled with ``align_corners=True``, raw scores
    without a base image, weights on the low-resolution activations. Cosines lie so close together that the weights
    are then nearly uniform; a lower temperature lets the text decide. Constant maps, which mask everything away, have
    no weight; pytorch-grad-cam gives them one, which scales the map, and lifts it where they are not zero.

    With ``mask_at=pool``, the default of some encoders, s_c is the cosine of the text with the image pooled under
    mask_c.
    """

    def __init__(self, config: ScoreCAMConfig, extractor: FeatureExtractor) -> None:
        self.config = config
        self.extractor = extractor

    @torch.no_grad()
    def explain(self, encoder: Encoder, pixels: Tensor, text: Tensor) -> Saliency:
        """See :meth:`xtool.plugin.SaliencyMethod.explain`. 2 + C passes for any number of texts, at the pool 2."""
        at = self.config.masks_at(encoder.info)
        features = self.extractor.extract(encoder, pixels).maps
        masked = embed_masked(
            encoder, pixels, features, at=at, base="zero", align_corners=True, batch=self.config.batch
        )
        _, gains = masked.scores(text)  # a softmax does not see the base score that all maps share
        gains = gains.masked_fill(~masked.alive[:, None], -torch.inf)
        weights = (gains / self.config.temperature).softmax(dim=2).nan_to_num(0.0)  # 0/0 where every map is dead
        maps = torch.einsum("btc,bchw->bthw", weights, features.float()).relu()
        return Saliency(maps, present=None)
