"""VL-Score: a text-conditioned Score-CAM in the joint embedding space.

Each feature map A_c, upsampled and scaled to [0, 1], masks the image; s_c is the cosine between the masked image and
the text, b that of the fully masked (base) image. Maps with s_c > b are kept (*cap*), their scores become weights
(*shift*, *softmax* with a temperature), and the saliency map is ReLU(Σ w_c A_c). Where no map beats the base, the
text is not in the image.

*contrast* is our addition: with K kept maps the weights become w_c − (K − 1)/K · Σw/K and the maps A_c − mean(A_c).
What the kept maps have in common, whatever the text, cancels out, so that boxes fit objects and not their surroundings.
(The factor (K − 1)/K keeps a single kept map from cancelling itself; with hundreds it is one.)
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
        bar = self._presence_bar(encoder, base)
        kept = beats if config.cap else torch.ones_like(beats)
        if chosen is not None:
            beats, kept = beats & chosen, kept & chosen
        weights = weigh(scores, base, kept, config)
        maps = maps.float()
        if config.contrast:
            # Maps that top_k left unscored are average as far as anyone knows.
            average = kept if chosen is None else kept | (~chosen & _alive(maps)[:, None])
            weights = contrasted(weights, average)
            maps = maps - maps.mean(dim=(2, 3), keepdim=True)
        saliency = torch.einsum("btc,bchw->bthw", weights, maps).relu()
        best = (scores if chosen is None else scores.masked_fill(~chosen, -1.0)).amax(dim=2)
        return Saliency(saliency, present=beats.any(dim=2) & (best > bar), scores=best - bar)

    def _presence_bar(self, encoder: Encoder, base: Tensor) -> Tensor | float:
        """The cosine that the best masked image must exceed; a base score [B, T] where nothing was calibrated."""
        above = self.config.present_above
        if above == "auto":
            calibrated = encoder.info.presence_threshold
            return base if calibrated is None else calibrated
        return base if above == "base" else above

    def _most_important(self, encoder: Encoder, pixels: Tensor, text: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """Feature maps, and which [B, T, C] of them are the k most important ones for cos(image, text)."""
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
                evidence = gradient * features.maps if self.config.importance == "contribution" else gradient
                importance.append(evidence.detach().float().mean(dim=(2, 3)))
        maps = features.maps.detach().float()
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


def contrasted(weights: Tensor, average: Tensor) -> Tensor:
    """Weights [B, T, C] less (K − 1)/K of their mean over the K maps that are ``average`` [B, T, C]."""
    count = average.sum(dim=2, keepdim=True).clamp(min=1)
    mean = weights.sum(dim=2, keepdim=True) / count
    return weights - average * mean * (count - 1) / count


def _alive(maps: Tensor) -> Tensor:
    """[B, C]: which maps say anything at all."""
    return maps.amax(dim=(2, 3)) > maps.amin(dim=(2, 3))
