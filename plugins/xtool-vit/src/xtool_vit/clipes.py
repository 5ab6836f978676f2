"""CLIP-ES: Grad-CAM of a text's probability among background words, for the mean of the patch tokens.

At the last block's norm before the attention, with z the mean over patches of their projected output tokens, and p the
softmax of the model's logits over the text and the background words,

    map = max(0, Σ_c mean(∂p/∂X_c) X_c).

The softmax leaves out what speaks for the background as much as for the text; the mean lets gradients reach every
patch, where a class token is reached through the last attention alone. The paper then spreads the map along the
attention: ``preset=paper`` is ``refine=caa``.

Source: Lin et al., CLIP is Also an Efficient Segmenter, CVPR 2023, arXiv:2212.09506, sections 3.2 and 3.3.
"""

from __future__ import annotations

import torch
from torch import Tensor

from xtool.plugin import DEFAULT_TEMPLATES, Encoder, Saliency, TokenStream, UsageError
from xtool_vit.config import CLIPESConfig
from xtool_vit.gradients import cosines, differentiable, differentiable_stream, gradients_of, leaf, usable


class CLIPES:
    """One forward pass, and for each text a backward pass through the last block."""

    def __init__(self, config: CLIPESConfig) -> None:
        self.config = config

    def explain(self, encoder: Encoder, pixels: Tensor, text: Tensor) -> Saliency:
        """See :meth:`xtool.plugin.SaliencyMethod.explain`.

        Raises :class:`xtool.plugin.UsageError` for background words without a word.
        """
        words = [word.strip() for word in self.config.background.split("|") if word.strip()]
        if not words:
            raise UsageError("clipes, option background: give one word at least, or several separated by |")
        against = encoder.encode_text([self.config.template.replace("{label}", word) for word in words])
        named = encoder.encode_text([DEFAULT_TEMPLATES[0].replace("{label}", word) for word in words])
        # On the scale of texts: two words that mean the same lie as close together in either phrase.
        other = torch.stack([text @ against.T, text @ named.T]).amax(dim=0) <= self.config.same_above
        with differentiable():
            stream = differentiable_stream(encoder, pixels)
            normed, embedding = _last_block(stream)
            scale = encoder.info.logit_scale
            background = torch.stack(cosines(embedding, against), dim=1) * scale
            scores = [
                _log_probability(scale * cosine, background, usable(kept))
                for cosine, kept in zip(cosines(embedding, text), other.unbind(-2), strict=True)
            ]
            maps = [_cam(stream, normed.detach(), gradient) for (gradient,) in gradients_of(scores, [normed])]
        return Saliency(torch.stack(maps, dim=1).float(), present=None)


def _last_block(stream: TokenStream) -> tuple[Tensor, Tensor]:
    """The normed tokens [B, n, width] that go into the last attention, a leaf, and z [B, D], not normalised."""
    block, tokens = stream.blocks[-1], stream.into(-1)
    normed = leaf(block.norm(tokens))
    heads = block.attention.project(normed, stream.rotations[-1])
    after = block.output(tokens, heads, block.attention.weights(heads) @ heads.values)
    return normed, stream.pooling.embed_each(after)[:, stream.grid.prefix_tokens :].mean(dim=1)


def _log_probability(logit: Tensor, background: Tensor, kept: Tensor) -> Tensor:
    """[B] of the text's logit [B] among those background logits [B, K] that are kept, [K] or [B, K].

    Its gradient is that of the probability but for a factor, which does not vanish where the probability does. A text
    that all the background words mean is explained by its plain logit.
    """
    among = torch.cat([logit[:, None], background.masked_fill(~kept, -torch.inf)], dim=1)
    return torch.where(kept.any(dim=-1), among.log_softmax(dim=1)[:, 0], logit)


def _cam(stream: TokenStream, tokens: Tensor, gradient: Tensor) -> Tensor:
    """Grad-CAM [B, h, w] of tokens [B, n, width] over the patches."""
    weights = gradient[:, stream.grid.prefix_tokens :].mean(dim=1, keepdim=True)
    return stream.patches((weights * tokens).sum(dim=2)).relu()
