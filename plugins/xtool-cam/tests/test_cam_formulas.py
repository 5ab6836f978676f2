"""The formulas against their definitions: by automatic differentiation, by loops, and in other units."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from xtool_cam import formulas


def example(seed: int = 0, scale: float = 1.0) -> tuple[Tensor, Tensor]:
    """Activations, never negative as after a ReLU, and gradients of either sign [2, 3, 2, 4]."""
    generator = torch.Generator().manual_seed(seed)
    activations = torch.rand(2, 3, 2, 4, generator=generator)
    return activations, scale * torch.randn(2, 3, 2, 4, generator=generator)


def relative(one: Tensor, other: Tensor) -> float:
    """How far two maps are apart once each is divided by its maximum."""
    return float((one.relu() / one.relu().amax() - other.relu() / other.relu().amax()).abs().max())


@pytest.mark.parametrize("scale", [0.01, 0.3])
def test_gradcam_plus_plus_is_equation_10_of_the_paper_differentiated_three_times(scale: float) -> None:
    """Y = exp(S), S linear in the activations: its derivatives of the first, second and third order by autograd."""
    activations, gradients = (part[0].double() for part in example(scale=scale))
    leaf = activations.clone().requires_grad_()
    score = (gradients * leaf).sum().exp()
    (first,) = torch.autograd.grad(score, leaf, create_graph=True)
    expected = torch.zeros(2, 4, dtype=torch.float64)
    for channel in range(3):
        weight = 0.0
        for i in range(2):
            for j in range(4):
                (row,) = torch.autograd.grad(first[channel, i, j], leaf, create_graph=True)
                second = row[channel, i, j]
                third = torch.autograd.grad(second, leaf, retain_graph=True)[0][channel, i, j]
                alpha = second / (2 * second + activations[channel].sum() * third)
                weight += float((alpha * first[channel, i, j].relu()).detach())
        expected += weight * activations[channel]
    found = formulas.gradcam_plus_plus(*(part[:1] for part in example(scale=scale)))[0]
    torch.testing.assert_close(found, (expected / score.detach()).float(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("unit", [1e-6, 1e-3, 1e3, 1e6])
@pytest.mark.parametrize("formula", [formulas.gradcam, formulas.gradcam_plus_plus, formulas.xgradcam])
def test_a_layer_in_other_units_gives_the_same_map(formula: formulas.Formula, unit: float) -> None:
    """Twice as large activations have half as large gradients, and show the same."""
    activations, gradients = example()
    torch.testing.assert_close(
        formula(activations / unit, gradients * unit), formula(activations, gradients), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("factor", [1e-6, 1e-3, 1e3, 1e6])
@pytest.mark.parametrize("formula", [formulas.gradcam, formulas.xgradcam, formulas.hirescam, formulas.layercam])
def test_a_larger_gradient_makes_a_larger_map_of_the_same_shape(formula: formulas.Formula, factor: float) -> None:
    activations, gradients = example()
    assert relative(formula(activations, factor * gradients), formula(activations, gradients)) < 1e-5


@pytest.mark.parametrize("factor", [1e-6, 1e-3, 0.1])
def test_small_gradients_do_not_change_the_map_of_gradcam_plus_plus_by_how_small_they_are(factor: float) -> None:
    """α is near ½ there, whatever the gradient; with pytorch-grad-cam's epsilon it falls with the gradient's square."""
    activations, gradients = example(scale=1e-3)
    paper, pgc = formulas.gradcam_plus_plus, formulas.gradcam_plus_plus_pgc
    assert relative(paper(activations, factor * gradients), paper(activations, gradients)) < 0.01
    assert relative(pgc(activations, factor * gradients), pgc(activations, gradients)) > 0.05


def test_gradcam_plus_plus_at_a_pole_of_equation_19_is_finite() -> None:
    activations, gradients = torch.full((1, 1, 1, 2), -1.0), torch.full((1, 1, 1, 2), 1.0)
    assert formulas.gradcam_plus_plus(activations, gradients).isfinite().all()  # 2 + 1 · (−2) = 0


def test_xgradcam_of_a_dead_map_is_zero() -> None:
    activations, gradients = torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2)
    assert not formulas.xgradcam(activations, gradients).any()


def test_the_map_of_eigencam_has_its_largest_magnitude_above_zero() -> None:
    for seed in range(8):
        along = formulas.eigencam(example(seed)[0])
        assert (along.amax(dim=(1, 2)) >= -along.amin(dim=(1, 2))).all()
