"""RISE: a pixel matters as much as images in which it is visible match the text (Petsiuk et al. 2018)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from xtool.plugin import Encoder, Saliency, embed_masked
from xtool_rise.config import RISEConfig
from xtool_rise.masks import draw_masks


class RISE:
    """S(t) = 1/(N·p) Σ cos(f(x ⊙ M_i), t) M_i over N random masks M_i (equation 6, with the cosine as the score)."""

    def __init__(self, config: RISEConfig) -> None:
        self.config = config
        self._masks = draw_masks(config.masks, config.grid, config.keep, config.seed)

    def explain(self, encoder: Encoder, pixels: Tensor, text: Tensor) -> Saliency:
        """See :meth:`xtool.plugin.SaliencyMethod.explain`.

        Costs N masked images for any number of texts: what a masked image shows does not depend on the text. Masks are
        never materialised at full size; the engine enlarges a few at a time.
        """
        config = self.config
        if self._masks.device != pixels.device:
            self._masks = self._masks.to(pixels.device)
        masks = self._masks.expand(len(pixels), -1, -1, -1)
        masked = embed_masked(encoder, pixels, masks, base="zero", scale=False, batch=config.batch)
        scores = torch.einsum("bnd,td->btn", masked.embeddings, text.float())
        if config.centred:
            scores = scores - scores.mean(dim=2, keepdim=True)
        maps = torch.einsum("btn,nhw->bthw", scores, self._masks) / (config.masks * config.keep)
        cells = F.avg_pool2d(maps, 2, stride=1)  # from nodes, which lie on the edges too, to the cells between them
        return Saliency(cells, present=None)
