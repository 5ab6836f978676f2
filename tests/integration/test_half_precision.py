"""``--dtype`` holds in every pass without gradient: maps stay near those in float32."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from xtool import load_encoder
from xtool.datasets.opening import open_dataset
from xtool.engine.layers import hooked
from xtool.engine.methods import build_method, parse_methods
from xtool.engine.transformer import read_stream
from xtool.image.pixels import fit_image, to_pixels

pytest.importorskip("xtool_tiny", reason="needs the bundled models")

SAMPLE = open_dataset("scenes:test")[0]
HALVES = ("bfloat16", "float16")
METHODS = {
    "tiny-rn": ("gradcam", "layercam", "eigencam", "vlscore:mask_at=pool"),
    "tiny-vit": (
        "gradcam",
        "dense",
        "gem",
        "legrad",
        "vlscore:mask_at=pool",
        "vlscore:features=attention:mask_at=pool",
    ),
}


@cache
def encoder(name: str, dtype: Any) -> Any:
    return load_encoder(name, device="cpu", dtype=dtype)


@cache
def scene(name: str) -> Tensor:
    asked = encoder(name, "float32")
    return to_pixels(fit_image(SAMPLE.open(), asked.info, "squash"), asked)


def maps(name: str, dtype: str, label: str) -> Tensor:
    asked = encoder(name, dtype)
    method = build_method(parse_methods([label])[0], asked.info)
    with torch.no_grad():
        return method.explain(asked, scene(name), asked.encode_text([SAMPLE.label])).maps


CASES = [pytest.param(name, label, id=f"{name}-{label}") for name, labels in METHODS.items() for label in labels]


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize(("name", "label"), CASES)
def test_maps_in_half_precision_are_other_numbers_but_the_same_picture(name: str, label: str, dtype: str) -> None:
    half, whole = maps(name, dtype, label), maps(name, "float32", label)
    assert half.dtype == torch.float32
    assert not torch.equal(half, whole)  # somebody computed in half precision
    assert torch.corrcoef(torch.stack([half.flatten(), whole.flatten()]))[0, 1] > 0.99


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("dtype", ["float32", *HALVES])
def test_a_tower_that_hooks_see_multiplies_in_the_dtype_unless_somebody_differentiates(name: str, dtype: str) -> None:
    asked = encoder(name, dtype)
    # Behind a block's own convolutions or products, whatever the sum that it is part of is kept in.
    inside = asked.visual.layer4[-1].conv3 if name == "tiny-rn" else asked.visual.transformer.resblocks[-1].mlp.c_fc
    seen: list[Tensor] = []
    with hooked(inside, lambda output: seen.append(output)):
        with torch.no_grad():
            still = asked.encode_image(scene(name))
        moving = asked.encode_image(scene(name))
    assert [output.dtype for output in seen] == [getattr(torch, dtype), torch.float32]
    assert still.dtype == moving.dtype == torch.float32
    assert moving.requires_grad
    assert (still - moving).norm() < 0.02


@pytest.mark.parametrize("dtype", HALVES)
def test_tokens_of_a_pass_in_half_precision_are_float32(dtype: str) -> None:
    stream = read_stream(encoder("tiny-vit", dtype), scene("tiny-vit"))
    assert {tokens.dtype for tokens in (*stream.tokens, stream.embedding)} == {torch.float32}


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("name", METHODS)
def test_a_mask_of_ones_gives_the_image_itself(name: str, dtype: str) -> None:
    asked: Any = encoder(name, dtype)
    with torch.no_grad():
        pooled = asked.encode_pooled(scene(name), torch.ones(1, 1, 7, 7))
    assert pooled.dtype == torch.float32
    assert (pooled[0, 0] - encoder(name, "float32").encode_image(scene(name))[0]).norm() < 0.02


def test_a_classifier_asked_to_pool_makes_its_pass_in_half_precision_and_pools_in_float32() -> None:
    pytest.importorskip("xtool_photo", reason="needs the bundled classifier")
    half: Any = load_encoder("photo", device="cpu", dtype="bfloat16")
    pixels = torch.randn(1, 3, *half.info.input_size, generator=torch.Generator().manual_seed(0))
    seen: list[Tensor] = []
    with torch.no_grad(), hooked(half.visual.features, lambda output: seen.append(output)):
        found = half.encode_pooled(pixels, torch.ones(1, 1, 12, 12))[0]
        whole = half.encode_image(pixels)
    assert [maps.dtype for maps in seen] == [torch.bfloat16, torch.bfloat16]
    assert found.dtype == torch.float32
    assert (found - whole).norm() < 0.02
