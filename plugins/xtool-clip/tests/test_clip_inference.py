"""The faster twin of a CNN tower gives the same embeddings, and is never used where it would not."""

from __future__ import annotations

import shutil

import pytest
import torch
from clip_testing import CNN, VIT, Build
from open_clip.modified_resnet import AttentionPool2d
from torch import nn
from torch.nn import functional as F

from xtool.plugin import EncoderOptions
from xtool_clip.encoder import ClipEncoder
from xtool_clip.load import load
from xtool_clip.pooling import OneQueryPool


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


@pytest.mark.parametrize("heads", [1, 4])
def test_one_query_gives_what_pooling_by_all_gives(heads: int) -> None:
    torch.manual_seed(0)
    pool = AttentionPool2d(3, 32, heads, output_dim=8).eval()
    for linear in (pool.q_proj, pool.k_proj, pool.v_proj, pool.c_proj):
        nn.init.normal_(linear.bias)
    features = torch.randn(5, 32, 3, 3)
    with torch.no_grad():
        assert torch.allclose(OneQueryPool(pool)(features), pool(features), atol=1e-5)


def test_a_bfloat16_twin_leaves_the_tower_in_float32_and_stays_near_it() -> None:
    half = load("RN50", EncoderOptions(pretrained=None, device="cpu", dtype="bfloat16"))
    slow, fast = slow_and_fast(half)
    assert {tensor.dtype for tensor in half.visual.parameters()} == {torch.float32}
    assert not torch.allclose(slow, fast, atol=1e-6)
    assert (fast - slow).norm(dim=1).max() < 1e-3  # a bfloat16 vector of this length is rounded by 2e-3 already


def test_an_encoder_that_cannot_be_compiled_says_so(build: Build, caplog: pytest.LogCaptureFixture) -> None:
    build(VIT, options=EncoderOptions(pretrained=None, device="cpu", compile=True))
    assert "compile is ignored" in caplog.text


def test_a_compiler_that_fails_is_told_of_and_left_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_module: nn.Module, **_options: object) -> object:
        def fail(_pixels: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("there is no C++ compiler")

        return fail

    monkeypatch.setattr(torch, "compile", broken)
    compiled = load("RN50", EncoderOptions(pretrained=None, compile=True))
    assert "there is no C++ compiler" in caplog.text
    slow, fast = slow_and_fast(compiled)
    assert torch.allclose(slow, fast, atol=1e-5)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("c++") is None, reason="torch.compile needs a C++ compiler")
def test_compiling_changes_nothing_but_rounding(build: Build) -> None:
    batch = torch.randn(19, 3, 64, 64, generator=torch.Generator().manual_seed(1))  # compiled tiles and a rest
    plain = build(CNN, options=EncoderOptions(pretrained=None, device="cpu"))
    compiled = build(CNN, options=EncoderOptions(pretrained=None, device="cpu", compile=True))
    with torch.inference_mode():
        one, other = plain.encode_image(batch), compiled.encode_image(batch)
    assert F.cosine_similarity(one, other).min() > 1 - 1e-5
    assert torch.allclose(one, other, atol=1e-5)
