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

from xtool.plugin import Encoder, FeatureExtractor, MaskedEmbeddings, Saliency, embed_masked
from xtool_vlscore.config import VLScoreConfig
from xtool_vlscore.ranking import ranked_maps
from xtool_vlscore.rounds import score_in_rounds


class VLScore:
    """The method; ``extractor`` supplies the feature maps."""

    def __init__(self, config: VLScoreConfig, extractor: FeatureExtractor) -> None:
        self.config = config
        self.extractor = extractor

    def explain(self, encoder: Encoder, pixels: Tensor, text: Tensor) -> Saliency:
        """See :meth:`xtool.plugin.SaliencyMethod.explain`. The price does not depend on the texts.

        With ``top_k`` or ``stop_at`` it does: each text has its own most important maps.
        """
        config = self.config
        if config.top_k is None and config.stop_at is None:
            with torch.no_grad():
                maps = self.extractor.extract(encoder, pixels).maps
            return self._saliency(encoder, maps, self._masked(encoder, pixels, maps), text)
        maps, place = ranked_maps(self.extractor, encoder, pixels, text, config)
        most = maps.shape[1] if config.top_k is None else config.top_k
        if config.stop_at is None:
            chosen = place < most
            masked = self._masked(encoder, pixels, _only(maps, chosen.any(dim=1)))
            return self._saliency(encoder, maps, masked, text, chosen)

        def embed(rows: Tensor, wanted: Tensor, base: Tensor | None) -> MaskedEmbeddings:
            return self._masked(encoder, pixels[rows], _only(maps[rows], wanted), base)

        def draw(masked: MaskedEmbeddings, chosen: Tensor) -> Tensor:
            return self._saliency(encoder, maps, masked, text, chosen).maps

        size = (pixels.shape[-2], pixels.shape[-1])
        masked, chosen = score_in_rounds(place, most, config.stop_at, size, embed, draw)
        return self._saliency(encoder, maps, masked, text, chosen)

    def _masked(
        self, encoder: Encoder, pixels: Tensor, maps: Tensor, known_base: Tensor | None = None
    ) -> MaskedEmbeddings:
        config = self.config
        return embed_masked(
            encoder,
            pixels,
            maps,
            base=config.base,
            align_corners=config.align_corners,
            batch=config.batch,
            known_base=known_base,
        )

    def _saliency(
        self, encoder: Encoder, maps: Tensor, masked: MaskedEmbeddings, text: Tensor, chosen: Tensor | None = None
    ) -> Saliency:
        """The answer from the embeddings under maps [B, C, h, w], or under those ``chosen`` [B, T, C] for each text."""
        config = self.config
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
            # Maps that were left unscored are average as far as anyone knows.
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


def _only(maps: Tensor, wanted: Tensor) -> Tensor:
    """Maps [B, C, h, w] with those that are not ``wanted`` [B, C] dead, so that no pass is spent on them."""
    return maps * wanted[:, :, None, None]
