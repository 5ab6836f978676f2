"""What the core adds to an encoder: its passes count, and nothing else of it changes."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch

from xtool.contracts.protocols import Encoder
from xtool.engine.encoders import CountedEncoder, counted, exclusive, given_encoder, load_encoder
from xtool.engine.work import account
from xtool.errors import UsageError
from xtool.testing import PlantedCNN


class Named(PlantedCNN):
    def nearest(self, text: str) -> str:
        return f"{text}?"


def test_passes_count_and_the_rest_is_the_encoders_own() -> None:
    encoder = Named()
    wrapped = counted(encoder)
    pixels = torch.rand(3, 3, 64, 64)
    with account() as work:
        assert torch.equal(wrapped.encode_image(pixels), encoder.encode_image(pixels))
    assert work.forwards == 3
    assert isinstance(wrapped, Encoder)
    assert (wrapped.info, wrapped.visual, wrapped.device, wrapped.dtype) == (
        encoder.info,
        encoder.visual,
        encoder.device,
        encoder.dtype,
    )
    assert wrapped.nearest("red") == "red?"
    with pytest.raises(AttributeError, match="no_such_thing"):
        wrapped.no_such_thing  # noqa: B018


def test_an_encoder_is_wrapped_once() -> None:
    wrapped = counted(PlantedCNN())
    assert counted(wrapped) is wrapped
    assert given_encoder(wrapped) is wrapped


def test_a_loaded_encoder_is_counted() -> None:
    pytest.importorskip("xtool_tiny")
    assert isinstance(load_encoder("tiny-rn", pretrained=None, device="cpu"), CountedEncoder)
    assert given_encoder("tiny-vit").info.name == "tiny-vit"


def test_it_can_be_copied_and_pickled() -> None:
    wrapped = counted(PlantedCNN())
    for again in (copy.deepcopy(wrapped), pickle.loads(pickle.dumps(wrapped))):
        assert torch.equal(again.encode_image(torch.ones(1, 3, 64, 64)), wrapped.encode_image(torch.ones(1, 3, 64, 64)))


def test_a_thread_that_has_the_tower_may_ask_for_it_again_and_a_copy_waits_for_nobody() -> None:
    encoder = PlantedCNN()
    with exclusive(encoder), exclusive(counted(encoder)), exclusive(copy.deepcopy(encoder)):
        pass


def test_a_text_that_is_no_unicode_is_told_and_not_blamed_on_the_encoder() -> None:
    with pytest.raises(UsageError, match=r"the text 'caf\\udce9' is no Unicode: it was read in another encoding"):
        counted(PlantedCNN()).encode_text(["red", b"caf\xe9".decode("utf-8", "surrogateescape")])
