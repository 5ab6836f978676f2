"""What training tiny-vit adds: the teacher read at every patch, windows of the position grid, Muon's updates."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from xtool_tiny.models import build

SCRIPTS = Path(__file__).parents[1] / "scripts"


@pytest.fixture(autouse=True)
def scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The training scripts are no package: they import one another by name."""
    monkeypatch.syspath_prepend(SCRIPTS)
    for name in ("muon", "teacher"):
        monkeypatch.delitem(sys.modules, name, raising=False)


def test_layer_4_without_pooling_averages_to_layer_4() -> None:
    """Convolutions of one pixel and pooling commute, so only the last ReLU stands between the two."""
    from teacher import Teacher

    torch.manual_seed(0)
    teacher = Teacher(build("tiny-rn"), torch.device("cpu"))
    layer = teacher.visual.layer4
    layer[0].act3 = nn.Identity()
    maps = torch.randn(2, 256, 6, 6)
    with torch.no_grad():
        torch.testing.assert_close(F.avg_pool2d(teacher._dense(layer[0], maps.clone()), 2), layer(maps))


def test_the_teacher_has_a_say_for_every_patch() -> None:
    from teacher import Teacher

    targets = Teacher(build("tiny-rn"), torch.device("cpu")).targets(torch.randn(2, 3, 96, 96))
    assert targets.whole.shape == (2, 128)
    assert targets.places.shape == (2, 128, 6, 6)
    assert targets.features.shape == (2, 256, 6, 6)


def test_a_window_keeps_neighbours_and_the_class_token() -> None:
    from teacher import window

    positions = torch.arange(1.0 + 5 * 5)[:, None]
    chance = torch.Generator().manual_seed(0)
    for _ in range(20):
        cut = window(positions, 3, chance)[:, 0]
        grid = cut[1:].view(3, 3)
        assert cut[0] == 0
        assert (grid.diff(dim=1) == 1).all()
        assert (grid.diff(dim=0) == 5).all()
    assert torch.equal(window(positions, 5, chance), positions)


@pytest.mark.parametrize("shape", [(32, 48), (96, 32), (64, 32), (32, 3, 4, 4)])
def test_a_step_of_muon_moves_every_direction_alike(shape: tuple[int, ...]) -> None:
    """Singular values of the step lie in the band of its five iterations, whatever those of the gradient.

    A weight of 3·n × n is three projections of attention, each made orthogonal by itself.
    """
    from muon import Muon

    torch.manual_seed(0)
    weight = nn.Parameter(torch.zeros(shape))
    weight.grad = torch.randn(shape) * torch.logspace(-1, 0, shape[0]).view(-1, *[1] * (len(shape) - 1))
    Muon([weight], lr=1.0).step()
    step = weight.detach().flatten(1)
    parts = step.chunk(3) if step.shape == (96, 32) else [step]
    for part in parts:
        size = torch.linalg.svdvals(part) / (0.2 * max(part.shape) ** 0.5)
        assert size.min() > 0.3
        assert size.max() < 1.4
