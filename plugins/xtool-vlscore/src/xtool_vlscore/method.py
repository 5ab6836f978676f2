"""VL-Score: a text-conditioned Score-CAM in the joint embedding space.

Each feature map A_c, upsampled and scaled to [0, 1], masks the image; s_c is the cosine between the masked image and
the text, b that of the fully masked (base) image. Maps with s_c > b are kept (*cap*), their scores become weights
(*shift*, *softmax* with a temperature), and the saliency map is ReLU(Σ w_c A_c). If no map beats the base, the
text is not in the image. A constant map is dead: it masks everything away and is ignored.

The masks act on the pixels, which is the definition, or, in an encoder that can (``mask_at``), where it pools: all
masks then cost one pass, and b is the cosine of an image of which nothing is pooled.

*contrast*, our addition (:mod:`xtool_vlscore.contrast`), cancels what the kept maps have in common, whatever the text.
"""

from __future__ import annotations

import torch
from torch import Tensor

from xtool.plugin import (
    Encoder,
    FeatureExtractor,
    FeatureMaps,
    MaskedEmbeddings,
    Saliency,
    embed_masked,
    live_maps,
)
from xtool_vlscore.config import VLScoreConfig
from xtool_vlscore.contrast import contrast_strength, contrasted_map
from xtool_vlscore.ranking import ranked_maps
from xtool_vlscore.rounds import score_in_rounds


class VLScore:
    """The method; ``extractor`` supplies the feature maps."""

    def __init__(self, config: VLScoreConfig, extractor: FeatureExtractor) -> None:
        self.config = config
        self.extractor = extractor

    def explain(self, encoder: Encoder, pixels: Tensor, text: Tensor) -> Saliency:
        """See :meth:`xtool.plugin.SaliencyMethod.explain`. The cost does not depend on the number of texts.

        With ``top_k`` or ``stop_at`` it does: each text has its own most important maps.

        Raises :class:`UsageError` for options that do not suit the encoder.
        """
        config = self.config.resolved(encoder.info)
        if config.top_k is None and config.stop_at is None:
            with torch.no_grad():
                features = self.extractor.extract(encoder, pixels)
            return self._saliency(encoder, features, self._masked(encoder, pixels, features.maps), text)
        features, place = ranked_maps(self.extractor, encoder, pixels, text, config)
        maps = features.maps
        most = maps.shape[1] if config.top_k is None else config.top_k
        if config.stop_at is None:
            chosen = place < most
            masked = self._masked(encoder, pixels, maps, chosen.any(dim=1))
            return self._saliency(encoder, features, masked, text, chosen)

        def embed(rows: Tensor, wanted: Tensor, base: Tensor | None) -> MaskedEmbeddings:
            return self._masked(encoder, pixels[rows], maps[rows], wanted, base)

        def draw(masked: MaskedEmbeddings, chosen: Tensor) -> Tensor:
            return self._saliency(encoder, features, masked, text, chosen).maps

        size = (pixels.shape[-2], pixels.shape[-1])
        masked, chosen = score_in_rounds(place, most, config.stop_at, size, embed, draw)
        return self._saliency(encoder, features, masked, text, chosen)

    def _masked(
        self,
        encoder: Encoder,
        pixels: Tensor,
        maps: Tensor,
        wanted: Tensor | None = None,
        known_base: Tensor | None = None,
    ) -> MaskedEmbeddings:
        config = self.config
        return embed_masked(
            encoder,
            pixels,
            maps,
            at=config.masks_at(encoder.info),
            base=config.base,
            align_corners=config.align_corners,
            batch=config.batch,
            wanted=wanted,
            known_base=known_base,
        )

    def _saliency(
        self,
        encoder: Encoder,
        features: FeatureMaps,
        masked: MaskedEmbeddings,
        text: Tensor,
        chosen: Tensor | None = None,
    ) -> Saliency:
        """The answer from the embeddings under all maps, or under those ``chosen`` [B, T, C] for each text."""
        config = self.config
        base, gains = masked.scores(text)
        scored = masked.alive[:, None].expand_as(gains)
        if chosen is not None:
            scored = scored & chosen
        beats = scored & (gains > 0)
        kept = beats if config.cap else scored
        weights = weigh(base, gains, kept, config)
        maps = features.maps.float()
        # Maps that were left unscored are average as far as anyone knows.
        average = kept if chosen is None else kept | (~chosen & live_maps(maps)[:, None])
        best = torch.where(scored.any(dim=2), gains.masked_fill(~scored, -torch.inf).amax(dim=2), 0.0)
        if config.contrast == "auto":
            whole = masked.gains_of(features.embedding, text)
            strength = contrast_strength(whole, best, weights, average, maps)
        else:
            strength = torch.full_like(best, float(config.contrast))
        saliency = contrasted_map(weights, average, maps, strength).relu()
        # The article's rule compares with the base image; cosines by themselves can be compared between images.
        rule = config.present_above
        scores = best if rule == "base" else best + base
        bar = rule if isinstance(rule, float) else -torch.inf
        return Saliency(saliency, present=beats.any(dim=2) & (scores > bar), scores=scores)


def weigh(base: Tensor, gains: Tensor, kept: Tensor, config: VLScoreConfig) -> Tensor:
    """Weights [B, T, C] from base scores [B, T], what maps add to them and the kept maps [B, T, C]; the rest is 0."""
    scores = (gains if config.shift else gains + base[:, :, None]) / config.temperature
    if not config.softmax:
        return scores.masked_fill(~kept, 0.0)
    weights = scores.masked_fill(~kept, -torch.inf).softmax(dim=2)
    return weights.nan_to_num(0.0)  # a row with nothing kept is 0/0
