"""Texts: padded as the models were trained, cut where they are too long, embedded once."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hf_testing import open_model

from xtool.plugin import UsageError
from xtool_transformers.encoder import TransformersEncoder

Saved = Callable[[str], tuple[Path, Any]]
Opened = Callable[[str], TransformersEncoder]


@pytest.mark.parametrize("kind", ["siglip", "siglip2"])
def test_siglips_texts_are_padded_to_its_whole_context_and_padding_is_read(kind: str, opened: Opened) -> None:
    tokens = opened(kind)._text.tokens(["a dog", "an image of the cat"], torch.device("cpu"))
    assert list(tokens) == ["input_ids"]
    assert tokens["input_ids"].shape == (2, 16)


def test_other_texts_are_padded_to_the_longest_and_padding_is_masked(opened: Opened) -> None:
    tokens = opened("align")._text.tokens(["a dog", "an image of the cat"], torch.device("cpu"))
    assert tokens["input_ids"].shape == (2, 7)
    assert tokens["attention_mask"].sum(dim=1).tolist() == [4, 7]


@pytest.mark.parametrize("kind", ["clip", "siglip", "siglip2", "align"])
def test_the_first_text_that_is_too_long_is_told_with_what_is_cut(
    kind: str, saved: Saved, caplog: pytest.LogCaptureFixture
) -> None:
    encoder = open_model(saved(kind)[0])
    long = " ".join(["dog"] * 30 + ["zebra"])
    with caplog.at_level(logging.WARNING):
        encoder.encode_text(["a dog", long])
        encoder.encode_text([f"{long} {long}"])
    (said,) = (record.getMessage() for record in caplog.records if record.name == "xtool_transformers")
    assert said.startswith(f"{encoder.info.name} reads 16 tokens of a text: of 'dog dog")
    assert said.endswith("zebra' was cut off. Further texts are cut in silence.")


@pytest.mark.parametrize("kind", ["clip", "siglip", "siglip2", "align"])
def test_what_is_cut_off_has_no_effect_and_what_is_not_has(kind: str, opened: Opened) -> None:
    within, beyond = " ".join(["dog"] * 40), " ".join(["dog"] * 40 + ["zebra"])
    other = " ".join(["zebra"] + ["dog"] * 40)
    found = opened(kind).encode_text([within, beyond, other])
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=1e-6)
    assert not torch.allclose(found[0], found[2], rtol=0, atol=2e-5)


def test_clips_text_embedding_does_not_depend_on_what_follows_the_end_token(opened: Opened) -> None:
    """Its tower has a causal mask: the end token of a short text cannot see the padding."""
    encoder = opened("clip")
    tokens = encoder._text.tokens(["a dog", "an image of the cat"], torch.device("cpu"))
    changed = tokens["input_ids"].clone()
    end = int(tokens["attention_mask"][0].sum())
    changed[0, end:] = 5
    with torch.no_grad():
        model: Any = encoder.model
        first = model.get_text_features(**tokens).pooler_output
        second = model.get_text_features(changed).pooler_output
    torch.testing.assert_close(first, second, rtol=0, atol=1e-5)


def test_a_single_string_and_no_text(opened: Opened) -> None:
    with pytest.raises(UsageError, match="takes a list of texts"):
        opened("clip").encode_text("dog")
    assert opened("clip").encode_text([]).shape == (0, 24)


def test_more_texts_than_fit_one_batch_are_each_embedded_as_alone(opened: Opened) -> None:
    texts = [f"a dog {number}" for number in range(300)]
    found = opened("clip").encode_text(texts)
    torch.testing.assert_close(found[299:], opened("clip").encode_text(texts[299:]))
    torch.testing.assert_close(found.norm(dim=1), torch.ones(300))
