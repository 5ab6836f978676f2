"""Features of a transformer and class tokens under masks come from one pass, and everyone is charged for it."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from xtool import load_encoder
from xtool.contracts.protocols import EncoderInfo
from xtool.engine.layers import hooked, read_heads, read_maps
from xtool.engine.methods import build_method, parse_methods
from xtool.engine.transformer import read_stream
from xtool.engine.work import Kept, account
from xtool.errors import UsageError

pytest.importorskip("xtool_tiny", reason="needs the bundled models")

POOL = "vlscore:mask_at=pool"
FEW = "vlscore:mask_at=pool:features=attention"
ELSEWHERE = "vlscore:mask_at=pool:features_from=tiny-rn"


@pytest.fixture(scope="module")
def encoder() -> Any:
    return load_encoder("tiny-vit", device="cpu")


@pytest.fixture(scope="module")
def pixels(encoder: Any) -> Tensor:
    return torch.randn(1, 3, *encoder.info.input_size, generator=torch.Generator().manual_seed(0))


def charges(encoder: Any, pixels: Tensor, labels: tuple[str, ...]) -> list[int]:
    """The passes that each of several methods is charged for one image."""
    text, kept, found = encoder.encode_text(["a heart"]), Kept(), []
    with torch.no_grad():
        for label in labels:
            with account(kept) as work:
                build_method(parse_methods([label])[0], encoder.info).explain(encoder, pixels, text)
            found.append(work.forwards)
    return found


@pytest.mark.parametrize("labels", [(POOL,), (FEW,), ("dense", POOL, FEW), (FEW, "gem", "dense")], ids=", ".join)
def test_the_tower_runs_once_for_all_and_each_is_charged_one_pass(
    encoder: Any, pixels: Tensor, labels: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    own, ran = encoder._encoder, []
    encode = own.encode_image
    monkeypatch.setattr(own, "encode_image", lambda given: ran.append(len(given)) or encode(given))
    assert charges(encoder, pixels, labels) == [1] * len(labels)
    assert ran == [1]


def test_charges_do_not_depend_on_who_came_first(encoder: Any, pixels: Tensor) -> None:
    """With another encoder's maps: a pass for these, one for the image's embedding and one for its masks."""
    assert charges(encoder, pixels, (ELSEWHERE, "dense")) == [3, 1]
    assert charges(encoder, pixels, ("dense", ELSEWHERE)) == [1, 3]


def test_maps_are_exactly_those_that_a_hook_sees(encoder: Any, pixels: Tensor) -> None:
    for name in encoder.info.layers:
        layer, seen = encoder.layer(name), list[Tensor]()
        with torch.no_grad():
            ours = read_maps(encoder, pixels, layer)
            with hooked(layer.module, seen.append):
                embedding = encoder.encode_image(pixels)
        torch.testing.assert_close(ours.maps, layer.maps(seen[0]), atol=0, rtol=0)
        torch.testing.assert_close(ours.embedding, embedding, atol=1e-6, rtol=0)


def test_somebody_whose_hook_changes_the_tower_is_not_given_the_pass_from_before(encoder: Any, pixels: Tensor) -> None:
    layer = encoder.layer("blocks.4")
    with account(Kept()), torch.no_grad():
        before = read_maps(encoder, pixels, layer).maps, read_heads(encoder, pixels, layer)[0].keys
        with hooked(encoder.layer("blocks.0").module, torch.zeros_like):
            changed = read_maps(encoder, pixels, layer).maps, read_heads(encoder, pixels, layer)[0].keys
        after = read_maps(encoder, pixels, layer).maps, read_heads(encoder, pixels, layer)[0].keys
    for one, other, last in zip(before, changed, after, strict=True):
        assert not torch.allclose(one, other)
        assert torch.equal(one, last)


class EverySecondBlock:
    """An encoder that lists only some of its transformer's blocks."""

    def __init__(self, encoder: Any) -> None:
        self._encoder = encoder

    def __getattr__(self, name: str) -> Any:
        return getattr(self._encoder, name)

    @property
    def info(self) -> EncoderInfo:
        info: EncoderInfo = self._encoder.info
        return replace(info, layers=("blocks.0", "blocks.2", "blocks.4"))


def test_blocks_that_do_not_follow_one_another_are_no_stream_but_have_their_maps(encoder: Any, pixels: Tensor) -> None:
    some: Any = EverySecondBlock(encoder)
    for name in some.info.layers:
        with torch.no_grad():
            found, expected = (read_maps(own, pixels, encoder.layer(name)).maps for own in (some, encoder))
        torch.testing.assert_close(found, expected, atol=0, rtol=0)
    with pytest.raises(UsageError, match=r"comes into blocks\.2 of .* is not what came out of the layer before it"):
        read_stream(some, pixels)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_what_was_read_under_inference_mode_can_be_differentiated_later(pixels: Tensor, dtype: Any) -> None:
    asked = load_encoder("tiny-vit", device="cpu", dtype=dtype)
    with torch.inference_mode():
        stream = read_stream(asked, pixels)
    assert not any(tokens.is_inference() for tokens in stream.tokens)
    tokens = copy.copy(stream.tokens[-1]).requires_grad_()
    stream.pooling.embed(tokens).sum().backward()
    assert tokens.grad is not None
