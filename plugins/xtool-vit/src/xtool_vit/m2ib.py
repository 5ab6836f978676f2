"""M2IB: noise on the tokens, as much as the match with the text bears; what must be kept is the map.

After a block the tokens x become x̃ = λ ⊙ x + (1 − λ) ⊙ ε, with ε ~ N(0, 1) and λ = sigmoid(α) for every token and
channel. Adam makes α minimise

    β · mean KL − mean over copies of cos(text, image from x̃),    KL = −½ (1 + log (1−λ)² − (λx)² − (1−λ)²);

the map is the KL of each patch, summed over channels: the information about the image that is let through.

Source: Wang et al., Visual Explanations of Image-Text Representations via Multi-Modal Information Bottleneck
Attribution, NeurIPS 2023, arXiv:2312.17174.
"""

from __future__ import annotations

import torch
from torch import Tensor

from xtool.plugin import AUTO, Encoder, Saliency, TokenStream, layer_name
from xtool_vit.config import M2IBConfig
from xtool_vit.gradients import cosines, differentiable, differentiable_stream, usable

STEPS = 10
COPIES = 10
LEARNING_RATE = 1.0
OPEN = 5.0
"""α in the beginning: nearly everything is let through."""


class M2IB:
    """One forward pass, and for each text the blocks after the bottleneck a hundred times, there and back."""

    def __init__(self, config: M2IBConfig) -> None:
        self.config = config

    def explain(self, encoder: Encoder, pixels: Tensor, text: Tensor) -> Saliency:
        """See :meth:`xtool.plugin.SaliencyMethod.explain`.

        The noise is the same for every image and every text, so that neither a batch nor a shard changes a map.

        Raises :class:`xtool.plugin.UsageError` for a ``layer`` that the encoder does not have.
        """
        with differentiable():
            stream = differentiable_stream(encoder, pixels)
            layer = self._layer(encoder)
            generator = torch.Generator().manual_seed(self.config.seed)
            size = (STEPS, COPIES, *stream.tokens[0].shape[1:])
            noise = torch.randn(size, generator=generator).to(stream.tokens[0])
            # Each image and text alone: together, the last digits would differ, and Adam magnifies them.
            kept = [
                [self._kept(stream, image, layer, usable(one), noise) for one in text.unbind(0)]
                for image in range(len(pixels))
            ]
            maps = stream.patches(torch.stack([torch.stack(row) for row in kept]))
        return Saliency(maps.float(), present=None)

    def _layer(self, encoder: Encoder) -> int:
        layers = encoder.info.layers
        if self.config.layer == AUTO:
            return max(0, min(round(len(layers) * 10 / 12) - 1, len(layers) - 2))
        return layers.index(layer_name(encoder.info, self.config.layer))

    def _kept(self, stream: TokenStream, image: int, layer: int, text: Tensor, noise: Tensor) -> Tensor:
        """[n]: the information that is kept of each token."""
        tokens = stream.tokens[layer + 1][image : image + 1]
        alpha = torch.full_like(tokens, OPEN).requires_grad_()
        optimiser = torch.optim.Adam([alpha], lr=LEARNING_RATE)
        for step in noise:
            kept = alpha.sigmoid()
            matches = cosines(_embedded(stream, image, layer, kept * tokens + (1 - kept) * step), text[None])[0]
            loss = self.config.beta * _information(alpha, tokens).mean() - matches.mean()
            (alpha.grad,) = torch.autograd.grad(loss, [alpha])
            optimiser.step()
        return _information(alpha.detach(), tokens)[0].sum(dim=-1)


def _embedded(stream: TokenStream, image: int, layer: int, tokens: Tensor) -> Tensor:
    """[COPIES, D] of tokens [COPIES, n, width] after the block ``layer`` of one image."""
    for index in range(layer + 1, len(stream.blocks)):
        block, rotation = stream.blocks[index], stream.rotations[index]
        heads = block.heads(tokens, rotation)
        tokens = block.output(tokens, heads, block.attention.weights(heads) @ heads.values)
    return stream.pooling.embed(tokens)


def _information(alpha: Tensor, tokens: Tensor) -> Tensor:
    """KL(N(λx, (1−λ)²) ‖ N(0, 1)) of every token and channel, in nats."""
    log_noise = 2 * torch.nn.functional.logsigmoid(-alpha)  # log (1−λ)², finite where 1 − λ rounds to 0
    return -0.5 * (1 + log_noise - (alpha.sigmoid() * tokens) ** 2 - log_noise.exp())
