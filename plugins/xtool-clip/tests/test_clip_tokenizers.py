"""Tokenizers: the own, the one in its place where weights are random, and texts that are longer than the context."""

from __future__ import annotations

from typing import Any

import open_clip
import pytest
import torch
from clip_testing import VIT, Build

from xtool.plugin import SetupError
from xtool_clip.context import cut_off
from xtool_clip.tokenizers import WordTokenizer, tokenizer_of

NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight") * 5
LONG = "a photograph of " + ", ".join(f"number {word}" for word in NUMBERS)


@pytest.fixture
def no_hub(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """A cache with nothing in it, and no network."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return str(tmp_path)


@pytest.mark.parametrize("name", ["ViT-B-32", "RN50", "ViT-H-14-378-quickgelu"])
def test_a_model_with_clips_own_tokenizer_needs_no_download(name: str, no_hub: str) -> None:
    config = open_clip.get_model_config(name)["text_cfg"]
    tokenizer = tokenizer_of(name, config, no_hub, trained=True)
    assert torch.equal(tokenizer(["a dog"]), open_clip.get_tokenizer(name)(["a dog"]))


def test_trained_weights_without_their_tokenizer_are_refused(no_hub: str) -> None:
    config = open_clip.get_model_config("ViT-B-16-SigLIP")["text_cfg"]
    with pytest.raises(SetupError, match=r"(?s)cannot get the tokenizer of ViT-B-16-SigLIP.*Ways out"):
        tokenizer_of("ViT-B-16-SigLIP", config, no_hub, trained=True)


def test_random_weights_without_their_tokenizer_read_word_by_word_and_it_is_said(
    no_hub: str, caplog: pytest.LogCaptureFixture
) -> None:
    config = open_clip.get_model_config("ViT-B-16-SigLIP")["text_cfg"]
    tokenizer = tokenizer_of("ViT-B-16-SigLIP", config, no_hub, trained=False)
    assert isinstance(tokenizer, WordTokenizer)
    assert "cannot get the tokenizer of ViT-B-16-SigLIP" in caplog.text
    assert "weights are random" in caplog.text
    tokens = tokenizer(["A dog.", "a dog .", "a cat."])
    assert tokens.shape == (3, 64)
    assert tokens.max() < 32_000
    assert torch.equal(tokens[0], tokens[1]), "a word is the same wherever it stands, in any case"
    assert (tokens[0] != tokens[2]).nonzero().tolist() == [[1]], "and only the other word differs"
    assert tokens[0, :5].tolist()[3:] == [31_999, 0], "the highest id ends a text, then comes padding"


def test_the_end_of_a_text_is_the_only_token_of_its_kind() -> None:
    tokens = WordTokenizer(200, vocabulary=20, end=2)([" ".join(f"word{index}" for index in range(150))])
    assert (tokens == 2).sum() == 1
    assert tokens[0, 150] == 2
    assert tokens[0, :150].min() > 0


# Texts beyond the context


@pytest.mark.parametrize("length", [8, 20, 77])
def test_what_is_cut_off_is_what_clips_own_tokenizer_leaves_out(length: int) -> None:
    """open_clip's tokenizer gives each piece of a text; of those, the context keeps all but start and end."""
    tokenizer = open_clip.SimpleTokenizer(context_length=length)
    kept = tokenizer.decode(tokenizer.encode(LONG)[: length - 2])
    lost = cut_off(tokenizer, LONG)
    assert (kept + lost).replace(" ", "") == LONG.replace(" ", "")


def test_a_text_that_just_fits_loses_nothing() -> None:
    tokenizer = open_clip.SimpleTokenizer(context_length=8)
    six = "a photo of a small dog"
    assert len(tokenizer.encode(six)) == 6
    assert cut_off(tokenizer, six) == ""
    assert cut_off(tokenizer, f"{six} here") == "here"
    assert cut_off(tokenizer, "a dog") == ""


def test_punctuation_that_a_tokenizer_drops_is_not_called_cut_off() -> None:
    tokenizer = open_clip.SimpleTokenizer(context_length=8, clean="canonicalize")
    assert cut_off(tokenizer, "a photo of a small dog.") == ""


def test_a_text_beyond_the_context_is_told_once_with_what_was_cut(
    build: Build, caplog: pytest.LogCaptureFixture
) -> None:
    encoder = build(VIT, text={"context_length": 16})
    encoder.encode_text(["a dog", "a photograph of a dog"])
    assert not caplog.records
    encoder.encode_text(["a dog on a lawn", LONG])
    (record,) = caplog.records
    assert "small reads 16 tokens of a text" in record.getMessage()
    assert "', number five, number six, num … " in record.getMessage(), "16 tokens end with the word four"
    encoder.encode_text([LONG + " again"])
    assert len(caplog.records) == 1
