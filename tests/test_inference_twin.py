"""The twin of a tower computes what the tower computes, and stands back where somebody would miss the tower."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xtool.loading import InferenceTwin, folded, half_precision, tile_by_tile

PIXELS = torch.randn(3, 3, 16, 20, generator=torch.Generator().manual_seed(1))


def trained(model: nn.Module) -> nn.Module:
    """In evaluation mode, with statistics and scales that differ from channel to channel, as training leaves them."""
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            with torch.no_grad():
                module.weight.uniform_(0.5, 1.5, generator=generator)
                module.bias.uniform_(-0.5, 0.5, generator=generator)
                module.running_mean.uniform_(-0.5, 0.5, generator=generator)  # type: ignore[union-attr]
                module.running_var.uniform_(0.5, 2.0, generator=generator)  # type: ignore[union-attr]
    return model.eval()


def simple() -> nn.Module:
    torch.manual_seed(0)
    return trained(nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 1)))


class ReadsTwice(nn.Module):
    """What the convolution gives is used beside the batch norm, so that it must not change."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, pixels: Tensor) -> Tensor:
        maps = self.conv(pixels)
        return maps + self.norm(maps)  # type: ignore[no-any-return]


class CalledTwice(nn.Module):
    """One convolution with a batch norm behind it only the first time."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.conv(self.norm(self.conv(pixels)))  # type: ignore[no-any-return]


class StandardisesItsWeight(nn.Conv2d):
    """Not linear in its weight: a factor folded into it would be divided out again."""

    def forward(self, maps: Tensor) -> Tensor:
        return F.conv2d(maps, (self.weight - self.weight.mean()) / self.weight.std(), self.bias)


class DecidesByValue(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = simple()

    def forward(self, pixels: Tensor) -> Tensor:
        return self.inner(pixels) if pixels.sum() > 0 else self.inner(-pixels)  # type: ignore[no-any-return]


class Doubles(nn.BatchNorm2d):
    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (torch's name)
        return 2 * super().forward(input)


def norms(model: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())


@torch.no_grad()
def test_folding_removes_batch_norms_and_changes_nothing_but_rounding() -> None:
    tower = simple()
    before = {name: tensor.clone() for name, tensor in tower.state_dict().items()}
    twin = folded(tower, torch.float32)
    assert norms(twin) == 0
    torch.testing.assert_close(twin(PIXELS), tower(PIXELS), rtol=0, atol=1e-5)
    assert all(torch.equal(before[name], tensor) for name, tensor in tower.state_dict().items())


@torch.no_grad()
def test_what_cannot_be_folded_is_left_as_it_is() -> None:
    standardised = nn.Sequential(StandardisesItsWeight(3, 4, 3), nn.BatchNorm2d(4))
    before_a_convolution = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3))
    more_than_a_norm = nn.Sequential(nn.Conv2d(3, 4, 3), Doubles(4))
    for tower in (ReadsTwice(), CalledTwice(), standardised, before_a_convolution, more_than_a_norm, DecidesByValue()):
        twin = folded(trained(tower), torch.float32)
        assert norms(twin) == 1
        torch.testing.assert_close(twin(PIXELS), tower(PIXELS), rtol=0, atol=1e-5)


@torch.no_grad()
def test_what_a_batch_norm_does_besides_stays_behind() -> None:
    tower = trained(nn.Sequential(nn.Conv2d(3, 4, 3), Doubles(4)))

    class Twice(nn.Module):
        def forward(self, maps: Tensor) -> Tensor:
            return 2 * maps

    twin = folded(tower, torch.float32, behind=lambda norm: Twice())
    assert norms(twin) == 0
    torch.testing.assert_close(twin(PIXELS), tower(PIXELS), rtol=0, atol=1e-5)


def test_tiles_are_put_together_in_order() -> None:
    sizes = []

    def body(pixels: Tensor) -> Tensor:
        sizes.append(len(pixels))
        return pixels.mean(dim=(2, 3))

    torch.testing.assert_close(tile_by_tile(body, PIXELS, 2), PIXELS.mean(dim=(2, 3)))
    assert sizes == [2, 1]


def test_a_twin_is_usable_only_where_nobody_would_miss_the_tower() -> None:
    tower = simple()
    twin = InferenceTwin(tower, lambda _like: folded(tower, torch.float32))
    assert not twin.usable
    with torch.inference_mode():
        assert twin.usable
        handle = tower[0].register_forward_hook(lambda *_: None)  # type: ignore[index]
        assert not twin.usable
        handle.remove()
        assert twin.usable
        tower.train()
        assert not twin.usable


def test_a_twin_is_made_once_and_again_when_the_weights_have_changed() -> None:
    tower = simple()
    made = []

    def make(like: Tensor) -> nn.Module:
        made.append(like.shape)
        return folded(tower, torch.float32)

    twin = InferenceTwin(tower, make)
    with torch.inference_mode():
        twin(PIXELS)
        twin(PIXELS)
    assert made == [PIXELS.shape]
    with torch.no_grad():
        tower[0].weight.mul_(-1.5)  # type: ignore[index, operator, union-attr]
        tower[1].running_mean.add_(0.5)  # type: ignore[index, operator, union-attr]
        expected = tower(PIXELS)
    with torch.inference_mode():
        torch.testing.assert_close(twin(PIXELS), expected, rtol=0, atol=1e-5)
    assert len(made) == 2


@pytest.mark.parametrize(
    ("dtype", "found"),
    [(torch.bfloat16, torch.bfloat16), (torch.float32, torch.float32), (torch.float64, torch.float32)],
)
def test_half_precision_is_for_half_the_bits_only(dtype: torch.dtype, found: torch.dtype) -> None:
    linear, ones = nn.Linear(4, 4), torch.ones(2, 4)
    with torch.no_grad():
        with half_precision(torch.device("cpu"), dtype):
            assert linear(ones).dtype == found
        assert linear(ones).dtype == torch.float32


def test_half_precision_is_not_for_gradients() -> None:
    with half_precision(torch.device("cpu"), torch.bfloat16):
        assert nn.Linear(4, 4)(torch.ones(2, 4)).dtype == torch.float32
