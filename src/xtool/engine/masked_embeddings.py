"""What the mask engine answers: an image under many masks, held against texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from xtool.engine.guard import all_finite
from xtool.engine.texts import matches
from xtool.engine.work import TOWER, part
from xtool.errors import UsageError

__all__ = ["NOT_FINITE", "Cosines", "MaskedEmbeddings"]

ROUNDING = 1e-6
"""Cosine that two passes over one image in batches of different sizes may differ by; less is no gain at all."""
NOT_FINITE = "embeddings of masked images contain NaN or infinite values; try --dtype float32"

Cosines = Callable[[Tensor], Tensor]
"""From a unit text [D] to the cosines [N] of an image under N masks."""


class MaskedEmbeddings:
    """Embeddings of B images, each under C masks.

    Args:
        embeddings: see :attr:`embeddings`; or a function that makes them, where ``cosines`` are had without them.
        base: see :attr:`base`.
        alive: see :attr:`alive`.
        cosines: of each image, under those masks that are alive.
    """

    base: Tensor
    """[B, D] float32, unit norm: the image with everything masked away; at the pool, nothing pooled."""
    alive: Tensor
    """[B, C] bool: ``False`` for a map that is constant, or was not wanted; its embedding is exactly the base."""

    def __init__(
        self,
        embeddings: Tensor | Callable[[], Tensor],
        base: Tensor,
        alive: Tensor,
        cosines: Sequence[Cosines] | None = None,
    ) -> None:
        self._embeddings = embeddings
        self._cosines = cosines
        self.base = base
        self.alive = alive

    @property
    def embeddings(self) -> Tensor:
        """[B, C, D] float32, unit norm."""
        if callable(self._embeddings):
            self._embeddings = self._embeddings()
        return self._embeddings

    def scores(self, text: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines of unit texts [T, D] or [B, T, D] with the base images, [B, T], and what masks add, [B, T, C].

        The cosine under a mask is their sum. A mask that is not ``alive``, or whose image embeds as the base does up
        to rounding, adds exactly zero, so that ``gains > 0`` never depends on the order of a sum; and each text is
        scored separately, so that its scores do not depend on the other texts.
        """
        base = torch.stack(matches(self.base, text), dim=1)
        if self._cosines is None:
            gains = torch.stack(matches(self.embeddings - self.base[:, None], text), dim=1)
        else:
            gains = self._gains(self._cosines, base, text.detach().float())
        return base, gains.masked_fill(gains.abs() <= ROUNDING, 0.0)

    def gains_of(self, embedding: Tensor, text: Tensor) -> Tensor:
        """[B, T]: how much the images [B, D] themselves score above the base, each text separately."""
        return torch.stack(matches(embedding.detach().float() - self.base, text), dim=1)

    def only(self, wanted: Tensor) -> MaskedEmbeddings:
        """The same with the maps that are not ``wanted`` [B, C] embedded as the base."""
        alive = self.alive & wanted

        def embeddings() -> Tensor:
            return torch.where(alive[:, :, None], self.embeddings, self.base[:, None])

        if self._cosines is None:
            return MaskedEmbeddings(embeddings(), self.base, alive)
        kept = [some[own] for some, own in zip(wanted, self.alive, strict=True)]
        cosines = [_some(of, own) for of, own in zip(self._cosines, kept, strict=True)]
        return MaskedEmbeddings(embeddings, self.base, alive, cosines)

    def _gains(self, cosines: Sequence[Cosines], base: Tensor, text: Tensor) -> Tensor:
        gains = base.new_zeros(*base.shape, self.alive.shape[1])
        with part(TOWER):
            for image, of in enumerate(cosines):
                for row, one in enumerate(text if text.ndim == 2 else text[image]):
                    gains[image, row, self.alive[image]] = of(one) - base[image, row]
        if not all_finite(gains):
            raise UsageError(NOT_FINITE)
        return gains


def _some(cosines: Cosines, kept: Tensor) -> Cosines:
    return lambda text: cosines(text)[kept]
