"""What the methods that differentiate with respect to attention have in common."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor

from xtool.plugin import Encoder, TokenStream, matches, read_stream


@contextmanager
def differentiable() -> Iterator[None]:
    """Inside the block gradients flow, whatever the caller has switched off."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


def differentiable_stream(encoder: Encoder, pixels: Tensor) -> TokenStream:
    """:func:`xtool.plugin.read_stream`, with tokens that a graph can begin at. Call it in :func:`differentiable`."""
    stream = read_stream(encoder, pixels)
    return replace(
        stream,
        tokens=tuple(usable(tokens) for tokens in stream.tokens),
        rotations=tuple(None if rotation is None else usable(rotation) for rotation in stream.rotations),
    )


def usable(tensor: Tensor) -> Tensor:
    """The tensor, or a copy if it was made in inference mode, which no graph may hold."""
    return tensor.clone() if tensor.is_inference() else tensor


def leaf(tensor: Tensor) -> Tensor:
    """The tensor's values as the beginning of a graph."""
    return tensor.detach().requires_grad_()


def gradients_of(scores: Sequence[Tensor], leaves: Sequence[Tensor]) -> Iterator[tuple[Tensor, ...]]:
    """For each of T scores [B] the gradients with respect to the leaves [B, ...].

    Images do not mix, so the gradient of the sum over the batch is that of each. No parameter collects a gradient.
    """
    for index, score in enumerate(scores):
        yield torch.autograd.grad(score.sum(), leaves, retain_graph=index < len(scores) - 1)


def cosines(embeddings: Tensor, text: Tensor) -> list[Tensor]:
    """T cosines [B] of embeddings [B, D], of any length, with unit texts [T, D], or each image's own [B, T, D]."""
    return matches(torch.nn.functional.normalize(embeddings.float(), dim=-1), text)
