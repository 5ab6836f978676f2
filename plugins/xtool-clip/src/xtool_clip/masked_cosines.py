"""Cosines of texts with an image that a CLIP ResNet pools under many masks, without the embeddings.

The pooling's query is the mean of all places, whatever the mask, so head h attends to place p under mask m with
m_p e_hp / Σ_q m_q e_hq, and e is the same for all masks. With r_h = 1 / Σ_p m_p e_hp and n_hp = e_hp · value_hp the
embedding, before it is normalised, is

    v = b + Σ_h r_h W_h Σ_p m_p n_hp,

with W_h the columns of the output projection that belong to head h, and b its bias. A cosine needs two numbers of it:

    t·v = t·b + Σ_h r_h Σ_p m_p (W_hᵀ t)·n_hp
    v·v = b·b + 2 (t·v − t·b for t = b) + Σ_hg r_h r_g Σ_pq m_p m_q n_hpᵀ (W_hᵀ W_g) n_gq

The last sum is the same for (h, g) and (g, h), and for (p, q) and (q, p): in RN50, with 32 heads and 49 places,
528 × 1,225 products for each mask. Projecting what its heads found takes 2,048 × 1,024, three times as many.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from open_clip.modified_resnet import AttentionPool2d
from torch import Tensor
from torch.nn import functional as F

from xtool_clip.pooling import OneQueryPool

Cosines = Callable[[Tensor], Tensor]

__all__ = ["MaskedCosines", "pays"]


def pays(pool: AttentionPool2d) -> bool:
    """Whether cosines take fewer products than embeddings; not so where maps have many places."""
    places = len(pool.positional_embedding) - 1
    pairs = pool.num_heads * (pool.num_heads + 1) // 2 * places * (places + 1) // 2
    return bool(pairs < pool.c_proj.in_features * pool.c_proj.out_features)


class MaskedCosines:
    """Of one pooling; keeps the products of its heads' projections, 8 MiB for RN50.

    Args:
        pool: the pooling, in float32.
    """

    def __init__(self, pool: OneQueryPool) -> None:
        self._pool = pool
        weight, self._bias = pool.output
        self._projections = weight.unflatten(1, (pool.heads, -1)).permute(1, 2, 0).contiguous()  # [heads, d, D]
        self._first, self._second = torch.triu_indices(pool.heads, pool.heads, device=weight.device)
        self._products = torch.stack(
            [self._projections[h] @ self._projections[g].T for h, g in zip(self._first, self._second, strict=True)]
        )

    def __call__(self, maps: Tensor, masks: Sequence[Tensor]) -> list[tuple[Tensor, Cosines]]:
        """For each image the embedding [D] of nothing pooled, and what gives the cosines [N] with a unit text [D].

        Args:
            maps: the last maps [B, C, h, w].
            masks: of each image, [N, h, w] in [0, 1]; each may have as many as it likes.
        """
        nothing = F.normalize(self._bias, dim=0)
        strengths, values = self._pool.asked(maps)
        weighed = strengths[..., None] * values
        # The token of the mean counts as much as the mask covers on average: a share of it belongs to each place.
        strengths, weighed = (part[:, :, 1:] + part[:, :, :1] / (part.shape[2] - 1) for part in (strengths, weighed))
        return [(nothing, self._of_one(*image)) for image in zip(strengths, weighed, masks, strict=True)]

    def _of_one(self, strengths: Tensor, weighed: Tensor, masks: Tensor) -> Cosines:
        """From e [heads, P], n [heads, P, d] and m [N, h, w]."""
        tiny = torch.finfo(masks.dtype).tiny
        cells = masks.flatten(1).T.contiguous()  # [P, N]
        cells = cells / cells.amax(dim=0).clamp(min=tiny)  # the squares of very small ones would be zero
        parts = (strengths @ cells).clamp(min=tiny).reciprocal()  # r, [heads, N]

        def unnormalised(direction: Tensor) -> Tensor:
            asked = self._projections @ direction  # [heads, d]
            found: Tensor = self._bias @ direction + ((weighed @ asked[..., None]).squeeze(2) @ cells * parts).sum(
                dim=0
            )
            return found

        squares = 2 * unnormalised(self._bias) - self._bias @ self._bias + self._squares(weighed, cells, parts)
        scale = squares.clamp(min=1e-24).rsqrt()  # as F.normalize has it
        return lambda text: unnormalised(text) * scale

    def _squares(self, weighed: Tensor, cells: Tensor, parts: Tensor) -> Tensor:
        """[N]: the last of the three sums. Whole rows are taken by ``index_select``, which indexing is slower than."""
        first, second = self._first, self._second
        table = weighed.index_select(0, first) @ self._products @ weighed.index_select(0, second).transpose(1, 2)
        pairs, places, _ = table.shape
        upper, lower = torch.triu_indices(places, places, device=cells.device)
        flat = table.view(pairs, -1)
        both = flat.index_select(1, upper * places + lower) + flat.index_select(1, lower * places + upper)
        both[:, upper == lower] /= 2
        both[first != second] *= 2
        terms = both @ cells.index_select(0, upper).mul_(cells.index_select(0, lower))  # [pairs of heads, N]
        # One factor after the other: under a mask of zeros a term is 0, and the square of 1/tiny is no number.
        return terms.mul_(parts.index_select(0, first)).mul_(parts.index_select(0, second)).sum(dim=0)
