"""Muon: momentum whose matrices are made orthogonal before they are applied (Jordan et al. 2024).

Every direction of a matrix learns at one rate, which a small transformer that sees few images gains from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


class Muon(torch.optim.Optimizer):
    """For weights with two axes or more (a convolution's are flattened, joint projections of attention split).

    Updates have the root mean square that AdamW's have, so both share one rate (Liu et al. 2025, equation 4).

    Args:
        params: to train. lr: rate. momentum: of the Nesterov kind. weight_decay: decoupled, times the rate.
    """

    def __init__(
        self, params: Iterable[nn.Parameter], lr: float, momentum: float = 0.95, weight_decay: float = 0.05
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Apply the gradients."""
        del closure
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                momentum = state.setdefault("momentum", torch.zeros_like(parameter))
                momentum.lerp_(parameter.grad, 1 - group["momentum"])
                matrices = _matrices(parameter.grad.lerp(momentum, group["momentum"]))
                update = _orthogonal(matrices) * (0.2 * max(matrices.shape[-2:]) ** 0.5)
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.sub_(update.view_as(parameter), alpha=group["lr"])


def _matrices(weight: Tensor) -> Tensor:
    """[N, rows, columns]: the three projections of attention are three matrices."""
    flat = weight.flatten(1)
    rows, columns = flat.shape
    return flat.reshape(3, columns, columns) if rows == 3 * columns else flat[None]


def _orthogonal(matrices: Tensor) -> Tensor:
    """The nearest semi-orthogonal matrices, roughly: five Newton-Schulz steps of fifth order in bfloat16."""
    a, b, c = NEWTON_SCHULZ
    x = matrices.bfloat16()
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(5):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return (x.mT if tall else x).float()
