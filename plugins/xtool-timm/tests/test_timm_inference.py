"""The faster twin of a classifier's tower gives the same embeddings, and is never used where it would not."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from xtool.plugin import EncoderOptions
from xtool_timm.encoder import ClassifierEncoder
from xtool_timm.inference import _folded
from xtool_timm.lite0 import SameConv
from xtool_timm.load import load

LITE0 = "timm-tf_efficientnet_lite0"
TOWERS = [LITE0, "timm-resnet18"]
FOLDED = ["timm-efficientnet_b0", "timm-tf_efficientnet_b0", "timm-mobilenetv3_small_050", "timm-regnety_002"]
"""Squeeze-and-excitation, activations inside the batch norms, TensorFlow's padding."""
OTHERS = ["timm-convnext_atto", "timm-densenet121", "timm-repvgg_a0", "timm-inception_v3"]
"""Other norms, batch norms before convolutions, several branches."""


def as_trained(encoder: ClassifierEncoder) -> ClassifierEncoder:
    """With statistics and scales that differ from channel to channel, as training leaves them."""
    generator = torch.Generator().manual_seed(0)
    for module in encoder.visual.modules():
        if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None and module.running_var is not None:
            module.running_mean.uniform_(-0.1, 0.1, generator=generator)
            module.running_var.uniform_(0.7, 1.5, generator=generator)
            with torch.no_grad():
                module.weight.uniform_(0.7, 1.3, generator=generator)
                module.bias.uniform_(-0.2, 0.2, generator=generator)
    return encoder


def pixels(size: int = 96) -> Tensor:
    return torch.randn(3, 3, size, size, generator=torch.Generator().manual_seed(1))


def slow_and_fast(encoder: ClassifierEncoder) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        slow = encoder.encode_image(pixels())
    with torch.inference_mode():
        fast = encoder.encode_image(pixels())
    return slow, fast


def norms_left(encoder: ClassifierEncoder) -> int:
    twin = _folded(encoder.visual.model, torch.float32)
    return sum(isinstance(module, nn.BatchNorm2d) for module in twin.modules())


@pytest.mark.parametrize("name", TOWERS)
def test_folding_changes_nothing_but_rounding_and_leaves_the_tower_alone(name: str) -> None:
    encoder = as_trained(load(name, EncoderOptions(device="cpu")))
    before = {key: tensor.clone() for key, tensor in encoder.visual.state_dict().items()}
    slow, fast = slow_and_fast(encoder)
    assert not torch.equal(slow, fast)  # it did take the other way
    torch.testing.assert_close(fast, slow, rtol=0, atol=1e-5)
    assert all(torch.equal(before[key], tensor) for key, tensor in encoder.visual.state_dict().items())
    assert norms_left(encoder) == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", FOLDED + OTHERS)
def test_every_kind_of_tower_is_computed_alike(name: str) -> None:
    encoder = as_trained(load(name, EncoderOptions(device="cpu")))
    slow, fast = slow_and_fast(encoder)
    torch.testing.assert_close(fast, slow, rtol=0, atol=1e-5)
    assert norms_left(encoder) == 0 or name in OTHERS


def test_masks_at_the_pool_take_the_same_way(random_resnet: ClassifierEncoder) -> None:
    masks = torch.rand(3, 4, 3, 3, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        slow = random_resnet.encode_pooled(pixels(), masks)
    with torch.inference_mode():
        fast = random_resnet.encode_pooled(pixels(), masks)
    torch.testing.assert_close(fast, slow, rtol=0, atol=1e-5)


@torch.no_grad()
def test_cosines_without_embeddings_are_those_of_the_embeddings(random_resnet: ClassifierEncoder) -> None:
    generator = torch.Generator().manual_seed(3)
    masks = torch.rand(3, 4, 3, 3, generator=generator)
    masks[:, 0], masks[:, 1], masks[:, 2, 1] = 0, 1, 0
    texts = nn.functional.normalize(torch.randn(2, 514, generator=generator), dim=1)
    expected = random_resnet.encode_pooled(pixels(), masks)
    cut = random_resnet.layer("auto").cut
    assert cut is not None
    assert cut.cosines is not None
    found = cut.cosines(cut.before(pixels()), [masks[0], masks[1, :2], masks[2]])
    for image, (nothing, of) in enumerate(found):
        assert torch.equal(nothing, expected[image, 0])
        for text in texts:
            own = expected[image] @ text
            torch.testing.assert_close(of(text), own[:2] if image == 1 else own, rtol=0, atol=2e-6)


def test_changed_weights_are_noticed() -> None:
    encoder = load(LITE0, EncoderOptions(device="cpu"))
    slow_and_fast(encoder)
    with torch.no_grad():
        encoder.visual.model.conv_stem.weight.mul_(-1.5)  # type: ignore[operator, union-attr]
    slow, fast = slow_and_fast(encoder)
    torch.testing.assert_close(fast, slow, rtol=0, atol=1e-5)


def test_hooks_are_never_missed(random_resnet: ClassifierEncoder) -> None:
    seen = []
    with torch.inference_mode():
        random_resnet.encode_image(pixels())
        handle = random_resnet.visual.model.get_submodule("layer2").register_forward_hook(lambda *_: seen.append(1))
        random_resnet.encode_image(pixels())
        handle.remove()
    assert seen == [1]


def test_a_bfloat16_twin_leaves_the_tower_in_float32_and_stays_near_it() -> None:
    half = load("timm-resnet18", EncoderOptions(device="cpu", dtype="bfloat16"))
    slow, fast = slow_and_fast(half)
    assert half.dtype == torch.bfloat16
    assert {tensor.dtype for tensor in half.visual.parameters()} == {torch.float32}
    assert not torch.allclose(slow, fast, atol=1e-6)
    assert torch.cosine_similarity(slow, fast).min() > 0.999


@pytest.mark.parametrize("stride", [1, 2])
def test_padding_by_the_convolution_is_padding_by_hand(stride: int) -> None:
    """TensorFlow's rule by hand: (ceil(n / s) − 1) · s + k − n in all, the odd one right and below."""
    torch.manual_seed(0)
    convolution = SameConv(2, 3, 5, stride=stride)
    maps = torch.randn(1, 2, 9, 12)
    total = [max((-(-n // stride) - 1) * stride + 5 - n, 0) for n in (9, 12)]
    (top, left) = (n // 2 for n in total)
    padded = nn.functional.pad(maps, (left, total[1] - left, top, total[0] - top))
    expected = nn.functional.conv2d(padded, convolution.weight, stride=stride)
    torch.testing.assert_close(convolution(maps), expected)
