"""The faster twin of a CNN tower gives the same embeddings, and is never used where it would not."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from xtool.config import EncoderOptions
from xtool_clip.encoder import ClipEncoder
from xtool_clip.load import load


@pytest.fixture
def encoder() -> ClipEncoder:
    encoder = load("RN50", EncoderOptions(pretrained=None))
    with torch.no_grad():  # statistics and scales that differ from channel to channel, as training leaves them
        generator = torch.Generator().manual_seed(0)
        for module in encoder.visual.modules():
            if isinstance(module, nn.BatchNorm2d):
                assert module.running_mean is not None
                assert module.running_var is not None
                for tensor, low, high in (
                    (module.weight, 0.5, 1.5),
                    (module.bias, -0.5, 0.5),
                    (module.running_mean, -0.5, 0.5),
                    (module.running_var, 0.5, 2.0),
                ):
                    tensor.uniform_(low, high, generator=generator)
    return encoder


def pixels() -> torch.Tensor:
    return torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(1))


def slow_and_fast(encoder: ClipEncoder) -> tuple[torch.Tensor, torch.Tensor]:
    with torch.no_grad():
        slow = encoder.encode_image(pixels())
    with torch.inference_mode():
        fast = encoder.encode_image(pixels())
    return slow, fast


def test_folding_changes_nothing_but_rounding_and_leaves_the_tower_alone(encoder: ClipEncoder) -> None:
    before = {name: tensor.clone() for name, tensor in encoder.visual.state_dict().items()}
    flags = [parameter.requires_grad for parameter in encoder.visual.parameters()]
    slow, fast = slow_and_fast(encoder)
    assert not torch.equal(slow, fast)  # it did take the other way
    assert torch.allclose(slow, fast, atol=1e-5)
    after = encoder.visual.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(not module._forward_hooks for module in encoder.visual.modules())
    assert flags == [parameter.requires_grad for parameter in encoder.visual.parameters()]


def test_changed_weights_are_noticed(encoder: ClipEncoder) -> None:
    slow_and_fast(encoder)
    with torch.no_grad():
        encoder.visual.layer3[0].conv1.weight.mul_(-1.5)  # type: ignore[index,union-attr]
    slow, fast = slow_and_fast(encoder)
    assert torch.allclose(slow, fast, atol=1e-5)


def test_hooks_are_never_missed(encoder: ClipEncoder) -> None:
    seen = []
    layer = encoder.visual.get_submodule("layer2")
    with torch.inference_mode():
        encoder.encode_image(pixels())
        handle = layer.register_forward_hook(lambda *_: seen.append(1))
        encoder.encode_image(pixels())
        handle.remove()
    assert seen == [1]
