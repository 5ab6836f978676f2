"""CLIP's attention pooling for the one query that the embedding is made of.

open_clip's ``AttentionPool2d`` (Radford et al., 2021, section 2.3) projects keys, values and outputs of all tokens and
then keeps the first output. The same embedding follows from far fewer operations, because matrix products associate:
the score of token x under query q is (W_k q)·x, and the output of a head is W_v (Σ attention · x). The bias of the keys
adds one number to all scores of a head, which the softmax cancels.

It computes in float32 whatever the convolutions compute in: it is the smaller part of the work, and an embedding
rounded to bfloat16 could not tell masks apart whose cosines differ by less than 0.001.
"""

from __future__ import annotations

import torch
from open_clip.modified_resnet import AttentionPool2d
from torch import Tensor
from torch.nn import functional as F


class OneQueryPool:
    """What ``pool`` gives, in float32; shares its weights."""

    def __init__(self, pool: AttentionPool2d) -> None:
        self.heads = pool.num_heads
        self.positions = pool.positional_embedding.detach().float()
        self.query, self.key, self.value, self.output = (
            (linear.weight.detach().float(), linear.bias.detach().float())
            for linear in (pool.q_proj, pool.k_proj, pool.v_proj, pool.c_proj)
        )

    def __call__(self, features: Tensor) -> Tensor:
        """Embed the last feature maps [B, C, h, w] as [B, D] float32."""
        tokens = self._tokens(features)
        attention = self._scores(tokens).softmax(dim=2)
        seen = torch.einsum("bhl,blc->bhc", attention, tokens)
        value = torch.einsum("bhc,hec->bhe", seen, self.value[0].view(self._per_head))
        return F.linear(value.flatten(1) + self.value[1], *self.output)

    def asked(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Of maps [B, C, h, w]: attention [B, heads, n] up to a factor for each head, and values [B, heads, n, d].

        The first token is the mean of the others, which are the places.
        """
        tokens = self._tokens(features)
        scores = self._scores(tokens)
        values = F.linear(tokens, *self.value).view(*tokens.shape[:2], self.heads, -1).transpose(1, 2)
        return (scores - scores.amax(dim=2, keepdim=True)).exp(), values

    @property
    def _per_head(self) -> tuple[int, int, int]:
        width = self.query[0].shape[0]
        return self.heads, width // self.heads, width

    def _tokens(self, features: Tensor) -> Tensor:
        patches = features.float().flatten(2).transpose(1, 2)
        tokens: Tensor = torch.cat([patches.mean(dim=1, keepdim=True), patches], dim=1) + self.positions
        return tokens

    def _scores(self, tokens: Tensor) -> Tensor:
        """[B, heads, n]: how well each token answers the first, up to a number for each head."""
        heads, width, _ = self._per_head
        query = F.linear(tokens[:, 0], *self.query).view(-1, heads, width) / width**0.5
        asked = torch.einsum("bhe,hec->bhc", query, self.key[0].view(self._per_head))
        return torch.einsum("bhc,blc->bhl", asked, tokens)
