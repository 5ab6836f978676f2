"""VL-Score: a text-conditioned Score-CAM in the joint embedding space.

Each feature map A_c, upsampled and scaled to [0, 1], masks the image; s_c is the cosine between the masked image and
the text, b that of the fully masked (base) image. Maps with s_c > b are kept (*cap*), their scores become weights
(*shift*, *softmax* with a temperature), and the saliency map is ReLU(Σ w_c A_c). Where no map beats the base, the text
is not in the image.
"""

from __future__ import annotations

import torch
from torch import Tensor

from xtool.errors import UsageError
from xtool.masking import embed_masked
from xtool.protocols import Encoder, FeatureExtractor, Saliency
from xtool_vlscore.config import VLScoreConfig


class VLScore:
    """The method; ``extractor`` supplies the feature maps."""

    def __init__(self, config: VLScoreConfig, extractor: FeatureExtractor) -> None:
        self.config = config
        self.extractor = extractor

    def explain(self, encoder: Encoder, pixels: Tensor, text: Tensor) -> Saliency:
        """See :meth:`xtool.protocols.SaliencyMethod.explain`. Costs the same for any number of texts."""
        config = self.config
        if config.top_k is None:
            with torch.no_grad():
                maps = self.extractor.extract(encoder, pixels).maps
            chosen = None
        else:
            maps, chosen = self._most_important(encoder, pixels, text, config.top_k)
        masked = embed_masked(
            encoder,
            pixels,
            maps if chosen is None else maps * chosen.any(dim=1)[:, :, None, None],
            base=config.base,
            align_corners=config.align_corners,
            batch=config.batch,
        )
        scores = torch.einsum("bcd,td->btc", masked.embeddings, text.float())
        base = torch.einsum("bd,td->bt", masked.base, text.float())
        beats = scores > base[:, :, None]
        kept = beats if config.cap else torch.ones_like(beats)
        if chosen is not None:
            beats, kept = beats & chosen, kept & chosen
        weights = weigh(scores, base, kept, config)
        saliency = torch.einsum("btc,bchw->bthw", weights, maps.float()).relu()
        # An image whose maps all lose has no evidence at all; the margin is then zero or negative.
        margin = scores.masked_fill(~chosen, -1.0) if chosen is not None else scores
        return Saliency(saliency, present=beats.any(dim=2), scores=margin.amax(dim=2) - base)

    def _most_important(self, encoder: Encoder, pixels: Tensor, text: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """Feature maps, and which [B, T, C] of them have the k largest mean gradients of cos(image, text)."""
        with torch.enable_grad():
            features = self.extractor.extract(encoder, pixels.detach().clone().requires_grad_())
            cosines = features.embedding.float() @ text.float().T
            importance = []
            for column in cosines.unbind(dim=1):
                gradient = None
                if column.requires_grad and features.maps.requires_grad:
                    (gradient,) = torch.autograd.grad(column.sum(), features.maps, retain_graph=True, allow_unused=True)
                if gradient is None:
                    raise UsageError(
                        "vlscore: top_k ranks feature maps by their gradient, and the embedding does not depend on "
                        f"features={self.config.features!r} in a way that can be differentiated; use features=spatial "
                        "or leave top_k out"
                    )
                importance.append(gradient.mean(dim=(2, 3)))
        maps = features.maps.detach()
        ranked = torch.stack(importance, dim=1)
        top = ranked.topk(min(k, maps.shape[1]), dim=2).indices
        return maps, torch.zeros_like(ranked, dtype=torch.bool).scatter_(2, top, True)


def weigh(scores: Tensor, base: Tensor, kept: Tensor, config: VLScoreConfig) -> Tensor:
    """Weights [B, T, C] from scores [B, T, C], base scores [B, T] and the kept maps [B, T, C]; zero for the rest."""
    if config.shift:
        scores = scores - base[:, :, None]
    scores = scores / config.temperature
    if not config.softmax:
        return scores.masked_fill(~kept, 0.0)
    weights = scores.masked_fill(~kept, -torch.inf).softmax(dim=2)
    return weights.nan_to_num(0.0)  # a row with nothing kept is 0/0
