"""Norms as the linear maps that they are for the actual tokens: the same values, and shares that add up."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from xtool_vit.frozen import Frozen, shares_of


@pytest.mark.parametrize(
    "norm", [nn.LayerNorm(6), nn.RMSNorm(6, eps=1e-6), nn.RMSNorm(6)], ids=["layer", "rms", "rms, own eps"]
)
def test_a_frozen_norm_has_the_same_values_and_divides_by_a_constant(norm: nn.Module) -> None:
    torch.manual_seed(0)
    for parameter in norm.parameters():
        nn.init.normal_(parameter)
    tokens, term, towards = torch.randn(2, 6, requires_grad=True), torch.randn(2, 6), torch.randn(2, 6)
    with Frozen():
        output = norm(tokens)
    torch.testing.assert_close(output, norm(tokens))
    share = (shares_of(output, tokens, towards[None])[0] * term).sum()
    centre = (lambda x: x - x.mean(dim=1, keepdim=True)) if isinstance(norm, nn.LayerNorm) else (lambda x: x)
    deviation = centre(tokens).square().mean(dim=1, keepdim=True).sqrt()
    torch.testing.assert_close(share, (norm.weight * centre(term) / deviation * towards).sum(), rtol=1e-4, atol=1e-5)


def test_what_passes_an_activation_has_no_share() -> None:
    tokens = torch.tensor([[1.0, -2.0]], requires_grad=True)
    with Frozen():
        output = tokens + F.gelu(tokens)
    assert shares_of(output, tokens, torch.ones(1, 1, 2)).tolist() == [[[1.0, 1.0]]]
    torch.testing.assert_close(output, tokens + F.gelu(tokens))
