"""Whatever mode a caller has put a model or torch in: the same maps, and everything is left as it was found."""

from __future__ import annotations

import copy
import pickle
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import pytest
import torch

from xtool import load_encoder
from xtool.errors import PluginError, UsageError
from xtool.explainer import explain
from xtool.testing.planted import planted_image

pytest.importorskip("xtool_tiny")
pytest.importorskip("xtool_cam")

IMAGE = planted_image({"red": (10, 10, 40, 40)}, (64, 64))
METHODS = ["gradcam", "layercam", "eigencam"]


def maps(encoder: Any) -> list[Any]:
    return [found.maps for found in explain(IMAGE, ["red", "cat"], methods=METHODS, encoder=encoder)]


@pytest.fixture(scope="module", params=["tiny-rn", "tiny-vit"])
def loaded(request: pytest.FixtureRequest) -> tuple[Any, list[Any]]:
    """An encoder, and its maps before anybody touched it."""
    encoder = load_encoder(request.param, device="cpu")
    methods = maps(encoder)
    return encoder, methods


def test_a_model_in_training_mode_gives_the_same_maps_and_is_left_as_it_was(loaded: tuple[Any, list[Any]]) -> None:
    encoder, expected = copy.deepcopy(loaded[0]), loaded[1]
    encoder.model.train()
    frozen = next(module for module in encoder.visual.modules() if not list(module.children()))
    frozen.eval()  # a part that its owner keeps in eval mode
    flags = {name: module.training for name, module in encoder.model.named_modules()}
    state = copy.deepcopy(encoder.model.state_dict())
    for found, before in zip(maps(encoder), expected, strict=True):
        np.testing.assert_array_equal(found, before)
    assert {name: module.training for name, module in encoder.model.named_modules()} == flags
    assert not frozen.training
    for name, tensor in encoder.model.state_dict().items():
        assert torch.equal(tensor, state[name]), name


def test_flags_come_back_after_an_exception(loaded: tuple[Any, list[Any]]) -> None:
    encoder = copy.deepcopy(loaded[0])
    encoder.model.train()
    flags = {name: module.training for name, module in encoder.model.named_modules()}
    with pytest.raises(PluginError, match="failed"):
        explain(IMAGE, "red", methods="gradcam:layer=auto", encoder=_Breaks(encoder))
    assert {name: module.training for name, module in encoder.model.named_modules()} == flags


class _Breaks:
    def __init__(self, encoder: Any) -> None:
        self.encoder = encoder

    def __getattr__(self, name: str) -> Any:
        return getattr(self.encoder, name)

    def encode_image(self, pixels: Any) -> Any:
        raise RuntimeError("no luck")


@pytest.mark.parametrize(
    "mode",
    [torch.inference_mode, torch.enable_grad, lambda: torch.autocast("cpu", torch.bfloat16), nullcontext],
    ids=["inference mode", "grad", "autocast", "nothing"],
)
def test_what_is_switched_on_in_torch_changes_no_map(loaded: tuple[Any, list[Any]], mode: Any) -> None:
    encoder, expected = loaded
    context: AbstractContextManager[Any] = mode()
    with context:
        found = maps(encoder)
    for now, before in zip(found, expected, strict=True):
        np.testing.assert_array_equal(now, before)


def test_another_default_dtype_changes_no_map(loaded: tuple[Any, list[Any]]) -> None:
    encoder, expected = loaded
    torch.set_default_dtype(torch.float64)
    try:
        found = maps(encoder)
    finally:
        torch.set_default_dtype(torch.float32)
    for now, before in zip(found, expected, strict=True):
        np.testing.assert_allclose(now, before, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16], ids=str)
def test_a_cast_model_is_told_in_words(loaded: tuple[Any, list[Any]], dtype: torch.dtype) -> None:
    encoder = copy.deepcopy(loaded[0])
    encoder.model.to(dtype)
    with pytest.raises(UsageError, match=rf"were cast to {dtype}; keep them in torch\.float32 \(model\.float\(\)\)"):
        maps(encoder)


@pytest.mark.parametrize("method", METHODS)
def test_weights_that_are_not_finite_are_told_with_the_encoder(loaded: tuple[Any, list[Any]], method: str) -> None:
    encoder = copy.deepcopy(loaded[0])
    with torch.no_grad():
        list(encoder.visual.parameters())[-1].fill_(float("nan"))
    with pytest.raises(PluginError, match=r"tiny-.*not finite"):
        explain(IMAGE, "red", methods=method, encoder=encoder)


def test_a_copy_and_a_pickled_encoder_give_the_same_maps(loaded: tuple[Any, list[Any]]) -> None:
    encoder, expected = loaded
    for again in (copy.deepcopy(encoder), pickle.loads(pickle.dumps(encoder))):
        for now, before in zip(maps(again), expected, strict=True):
            np.testing.assert_array_equal(now, before)


@pytest.mark.parametrize(
    "around",
    [
        torch.inference_mode,
        lambda: torch.device("meta"),
        lambda: torch.autocast("cpu", torch.bfloat16),
        lambda: _Double(),
    ],
    ids=["inference mode", "another device", "autocast", "float64"],
)
def test_an_encoder_may_be_loaded_and_copied_whatever_is_switched_on_in_torch(
    loaded: tuple[Any, list[Any]], around: Any
) -> None:
    encoder, expected = loaded
    with around():
        again = [load_encoder(encoder.info.name, device="cpu"), copy.deepcopy(encoder)]
    for each in again:
        for now, before in zip(maps(each), expected, strict=True):
            np.testing.assert_allclose(now, before, atol=1e-5)
    with torch.device("meta"):
        for now, before in zip(maps(encoder), expected, strict=True):
            np.testing.assert_allclose(now, before, atol=1e-5)


class _Double:
    def __enter__(self) -> None:
        torch.set_default_dtype(torch.float64)

    def __exit__(self, *_: object) -> None:
        assert torch.get_default_dtype() == torch.float64, "as the caller had it"
        torch.set_default_dtype(torch.float32)


def test_weights_that_no_gradient_can_go_through_are_told_in_words(loaded: tuple[Any, list[Any]]) -> None:
    packed = pickle.dumps(loaded[0])
    with torch.inference_mode():
        encoder = pickle.loads(packed)
    with pytest.raises(UsageError, match=r"made under torch\.inference_mode\(\).*unpickle the encoder outside of it"):
        explain(IMAGE, "red", methods="gradcam", encoder=encoder)
