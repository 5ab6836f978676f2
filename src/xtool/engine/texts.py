"""The products of embeddings with texts that all images share, or with each image's own."""

from __future__ import annotations

from torch import Tensor

__all__ = ["matches"]


def matches(embeddings: Tensor, text: Tensor) -> list[Tensor]:
    """T products [B, ...] of embeddings [B, ..., D] with texts [T, D] of all images, or [B, T, D] of each its own.

    Each text by itself: in one product of matrices, the last digit would depend on the texts beside it. Differentiable
    with respect to the embeddings; the texts are taken as constants.
    """
    constant = text.detach().float()
    if constant.is_inference() and embeddings.requires_grad:
        constant = constant.clone()  # what was made in inference mode cannot be saved for backward
    return [_match(embeddings, one) for one in constant.unbind(-2)]


def _match(embeddings: Tensor, one: Tensor) -> Tensor:
    """With one text [D], or one of each image [B, D]."""
    if one.ndim == 1:
        return embeddings @ one
    columns = one.reshape(len(one), *[1] * (embeddings.ndim - 2), one.shape[1])
    if embeddings.ndim == 2:
        return (embeddings * columns).sum(dim=-1)
    return (embeddings @ columns.transpose(-2, -1)).squeeze(-1)
