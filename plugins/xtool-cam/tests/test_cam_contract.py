"""What every method promises: texts at once equal texts alone, and the encoder is left as it was found."""

from __future__ import annotations

import contextlib
import copy
import gc
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from cam_encoders import LastStage, TinyEncoder, make_cnn, make_vit, pixels_for, texts_for
from torch import Tensor

from xtool.plugin import SaliencyMethod
from xtool_cam import gradient
from xtool_cam.ablationcam import AblationCAM
from xtool_cam.config import (
    AblationCAMConfig,
    CenterConfig,
    EigenCAMConfig,
    GradCAMPlusPlusConfig,
    GradientConfig,
    PGCConfig,
    RandomConfig,
    ScoreCAMConfig,
)
from xtool_cam.controls import CenterBump, RandomNoise
from xtool_cam.eigencam import EigenCAM
from xtool_cam.pgc import PytorchGradCAM
from xtool_cam.scorecam import ScoreCAM

METHODS: dict[str, Callable[[], SaliencyMethod]] = {
    "gradcam": lambda: gradient.GradCAM(GradientConfig()),
    "gradcam dot": lambda: gradient.GradCAM(GradientConfig(score="dot")),
    "gradcam++": lambda: gradient.GradCAMPlusPlus(GradCAMPlusPlusConfig()),
    "xgradcam": lambda: gradient.XGradCAM(GradientConfig()),
    "hirescam": lambda: gradient.HiResCAM(GradientConfig()),
    "layercam": lambda: gradient.LayerCAM(GradientConfig()),
    "ablationcam": lambda: AblationCAM(AblationCAMConfig()),
    "ablationcam pgc": lambda: AblationCAM(AblationCAMConfig(ablate="pgc")),
    "pgc FinerCAM": lambda: PytorchGradCAM(PGCConfig(name="FinerCAM", against="a|bb")),
    "pgc ShapleyCAM": lambda: PytorchGradCAM(PGCConfig(name="ShapleyCAM")),
    "pgc KPCA_CAM": lambda: PytorchGradCAM(PGCConfig(name="KPCA_CAM")),
    "random": lambda: RandomNoise(RandomConfig()),
    "center": lambda: CenterBump(CenterConfig()),
}
CNN_METHODS: dict[str, Callable[[], SaliencyMethod]] = {
    **METHODS,
    "eigencam": lambda: EigenCAM(EigenCAMConfig(), LastStage()),
    "scorecam": lambda: ScoreCAM(ScoreCAMConfig(), LastStage()),
}


def cases() -> Iterator[Any]:
    for architecture, make, methods in (("cnn", make_cnn, CNN_METHODS), ("vit", make_vit, METHODS)):
        for name, method in methods.items():
            yield pytest.param(make, method, id=f"{name}-{architecture}")


every_method = pytest.mark.parametrize(("make", "method"), list(cases()))
Make = Callable[[], TinyEncoder]
MakeMethod = Callable[[], SaliencyMethod]


@every_method
def test_output_is_raw_finite_and_of_the_promised_shape(make: Make, method: MakeMethod) -> None:
    encoder = make()
    pixels = pixels_for(encoder)
    found = method().explain(encoder, pixels, texts_for(encoder, pixels))
    assert found.maps.shape[:2] == (2, 3)
    assert found.maps.ndim == 4
    assert found.maps.dtype == torch.float32
    assert found.maps.device == encoder.device
    assert found.maps.isfinite().all()
    assert not found.maps.requires_grad
    assert found.present is None
    assert found.scores is None


@every_method
def test_texts_at_once_equal_texts_alone(make: Make, method: MakeMethod) -> None:
    encoder = make()
    pixels = pixels_for(encoder)
    text = texts_for(encoder, pixels)
    at_once = method().explain(encoder, pixels, text).maps
    alone = torch.cat([method().explain(encoder, pixels, text[t : t + 1]).maps for t in range(len(text))], dim=1)
    torch.testing.assert_close(at_once, alone, atol=1e-6, rtol=1e-4)


@every_method
def test_a_batch_equals_images_alone(make: Make, method: MakeMethod) -> None:
    encoder = make()
    pixels = pixels_for(encoder, 3)
    text = texts_for(encoder, pixels)
    batch = method().explain(encoder, pixels, text).maps
    alone = torch.cat([method().explain(encoder, image[None], text).maps for image in pixels])
    torch.testing.assert_close(batch, alone, atol=1e-5, rtol=1e-3)


@every_method
def test_the_encoder_is_left_as_it_was_found(make: Make, method: MakeMethod) -> None:
    encoder = make()
    pixels = pixels_for(encoder)
    first = next(encoder.visual.parameters())
    first.requires_grad_(False)
    first.grad = torch.full_like(first, 7.0)
    before = snapshot(encoder)
    with torch.no_grad():
        method().explain(encoder, pixels, texts_for(encoder, pixels))
    assert_unchanged(encoder, before)
    assert pixels.grad is None
    assert not pixels.requires_grad


@every_method
def test_the_encoder_is_left_as_it_was_found_when_it_raises(make: Make, method: MakeMethod) -> None:
    class BoomError(Exception):
        pass

    encoder = make()
    pixels = pixels_for(encoder)
    text = texts_for(encoder, pixels)
    embed = encoder.encode_image
    before = snapshot(encoder)

    def embed_and_raise(pixels: Tensor) -> Tensor:
        embed(pixels)
        raise BoomError

    encoder.encode_image = embed_and_raise  # type: ignore[method-assign]
    with contextlib.suppress(BoomError):  # the controls have no reason to raise
        method().explain(encoder, pixels, text)
    assert_unchanged(encoder, before)


@every_method
def test_repeated_runs_leak_nothing(make: Make, method: MakeMethod) -> None:
    encoder = make()
    pixels = pixels_for(encoder, 1)
    text = texts_for(encoder, pixels, 2)
    for _ in range(2):  # whatever is built once
        method().explain(encoder, pixels, text)
    gc.collect()
    gc.disable()  # a cycle would hide behind the collector
    try:
        before = live_tensors()
        for _ in range(3 if isinstance(method(), AblationCAM | ScoreCAM | PytorchGradCAM) else 10):  # those are slow
            method().explain(encoder, pixels, text)
        assert live_tensors() == before
    finally:
        gc.enable()
    assert hooks(encoder) == 0


@every_method
def test_frozen_parameters_change_nothing(make: Make, method: MakeMethod) -> None:
    encoder = make()
    pixels = pixels_for(encoder)
    text = texts_for(encoder, pixels)
    expected = method().explain(encoder, pixels, text).maps
    encoder.visual.requires_grad_(False)
    torch.testing.assert_close(method().explain(encoder, pixels, text).maps, expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("make", [make_cnn, make_vit])
def test_half_precision_gives_float32_maps_like_full_precision(make: Make, dtype: torch.dtype) -> None:
    encoder = make()
    pixels = pixels_for(encoder)
    text = texts_for(encoder, pixels)
    method = gradient.GradCAM(GradientConfig())
    full = method.explain(encoder, pixels, text).maps
    encoder.visual.to(dtype)
    encoder.dtype = dtype
    half = method.explain(encoder, pixels, text).maps
    assert half.dtype == torch.float32
    similarity = torch.nn.functional.cosine_similarity(full.flatten(1), half.flatten(1))
    assert similarity.min() > 0.95


def test_a_gradient_method_runs_one_forward_pass_for_all_texts(encoder: TinyEncoder) -> None:
    pixels = pixels_for(encoder)
    gradient.GradCAM(GradientConfig()).explain(encoder, pixels, texts_for(encoder, pixels, 5))
    assert encoder.forwards == len(pixels)


def test_ablationcam_runs_its_passes_once_for_all_texts(vit: TinyEncoder) -> None:
    pixels = pixels_for(vit)
    AblationCAM(AblationCAMConfig(batch=7)).explain(vit, pixels, texts_for(vit, pixels, 5))
    channels = 32
    assert vit.forwards == len(pixels) * (1 + channels)


def test_ablationcam_is_not_turned_inside_out_by_a_negative_score(cnn: TinyEncoder) -> None:
    """Removing a map that speaks for the text must count for it, also where the cosine is negative as a whole."""
    pixels = pixels_for(cnn, 1)
    text = -texts_for(cnn, pixels, 1)
    with torch.no_grad():
        assert (cnn.encode_image(pixels) @ text.T).item() < 0
    layer = cnn.visual.layer4
    found = AblationCAM(AblationCAMConfig()).explain(cnn, pixels, text).maps[0, 0]
    expected = torch.zeros_like(found)
    with torch.no_grad():
        seen: list[Tensor] = []
        handle = layer.register_forward_hook(lambda _m, _i, output: seen.append(output))
        whole = cnn.encode_image(pixels) @ text.T
        handle.remove()
        for channel in range(seen[0].shape[1]):
            without = seen[0].clone()
            without[:, channel] = 0
            unit = torch.nn.functional.normalize(cnn.visual.attnpool(without), dim=-1)
            expected += (whole - unit @ text.T).item() * seen[0][0, channel]
    torch.testing.assert_close(found, expected.relu(), atol=1e-5, rtol=1e-4)


def hooks(encoder: TinyEncoder) -> int:
    return sum(
        len(module._forward_hooks) + len(module._forward_pre_hooks) + len(module._backward_hooks)
        for module in encoder.visual.modules()
    )


def snapshot(encoder: TinyEncoder) -> dict[str, Any]:
    visual = encoder.visual
    return {
        "state": copy.deepcopy(visual.state_dict()),
        "requires_grad": [parameter.requires_grad for parameter in visual.parameters()],
        "grad": [None if p.grad is None else p.grad.clone() for p in visual.parameters()],
        "training": [module.training for module in visual.modules()],
        "modules": [id(module) for module in visual.modules()],
        "hooks": hooks(encoder),
        "grad_mode": torch.is_grad_enabled(),
        "random": torch.get_rng_state(),
    }


def assert_unchanged(encoder: TinyEncoder, before: dict[str, Any]) -> None:
    after = snapshot(encoder)
    assert after.keys() == before.keys()
    for key in before.keys() - {"state", "grad", "random"}:
        assert after[key] == before[key], key
    torch.testing.assert_close(after["state"], before["state"], rtol=0, atol=0)
    assert torch.equal(after["random"], before["random"])
    for new, old in zip(after["grad"], before["grad"], strict=True):
        assert (new is None) == (old is None)
        assert old is None or torch.equal(new, old)


def live_tensors() -> int:
    return sum(issubclass(type(thing), Tensor) for thing in gc.get_objects())
