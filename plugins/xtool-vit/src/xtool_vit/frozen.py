"""Gradients that are exact shares: norms taken as the linear maps that they are for the actual tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode


class Frozen(TorchFunctionMode):
    """Inside, what a norm divides by is a constant, and so is what comes out of an activation function.

    Values stay what they are. Of a sum that is normed, gradients then say what each term contributes: w (c −
    mean(c)) / σ with the σ of the sum. And of a branch with an activation they say nothing, so that it counts as a term
    of its own.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = kwargs or {}
        if func is F.layer_norm:
            return _frozen_layer_norm(*args, **given)
        if func is F.rms_norm:
            return _frozen_rms_norm(*args, **given)
        found = func(*args, **given)
        return found.detach() if func in _ACTIVATIONS else found


_ACTIVATIONS = {F.gelu, F.silu, F.relu}


def _frozen_layer_norm(
    tokens: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    over = tuple(range(-len(normalized_shape), 0))
    normed = _frozen_rms_norm(tokens - tokens.mean(dim=over, keepdim=True), normalized_shape, weight, eps)
    return normed if bias is None else normed + bias


def _frozen_rms_norm(
    tokens: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    over = tuple(range(-len(normalized_shape), 0))
    eps = torch.finfo(tokens.dtype).eps if eps is None else eps
    normed = tokens / (tokens.square().mean(dim=over, keepdim=True) + eps).sqrt().detach()
    return normed if weight is None else normed * weight


def plain(tensor: Tensor) -> Tensor:
    """The tensor, or a copy of one made in inference mode, that gradients can be taken through; call it outside."""
    return tensor.clone() if tensor.is_inference() else tensor


def shares_of(output: Tensor, source: Tensor, towards: Tensor) -> Tensor:
    """Gradients [K, *source] of ``output`` · ``towards`` [K, *output] with respect to ``source``."""
    (found,) = torch.autograd.grad(output, source, towards, is_grads_batched=True)
    return found
