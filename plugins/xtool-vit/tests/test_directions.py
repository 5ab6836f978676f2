"""What every text shows is taken out: worked out by hand, and independent of the other texts of a call."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from xtool_vit import directions as module
from xtool_vit.directions import above_the_mean, directions


class TwoTexts:
    """An encoder that knows the empty text and a bank of one text."""

    def encode_text(self, texts: list[str]) -> Tensor:
        known = {"": [0.0, 1.0], "an image of a thing.": [0.6, 0.8]}
        return torch.tensor([known[text] for text in texts])


@pytest.fixture
def encoder(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(module, "BANK", ["thing"])
    return TwoTexts()


IMAGE, TEXT = torch.tensor([[0.8, 0.6]]), torch.tensor([[1.0, 0.0], [0.0, -1.0]])


def test_kept_is_the_text_itself(encoder: Any) -> None:
    assert directions(encoder, IMAGE, TEXT, "keep").tolist() == [TEXT.tolist()]


def test_the_empty_text_is_subtracted(encoder: Any) -> None:
    torch.testing.assert_close(directions(encoder, IMAGE, TEXT, "empty"), torch.tensor([[[1.0, -1.0], [0.0, -2.0]]]))


def test_the_mean_of_the_bank_is_subtracted(encoder: Any) -> None:
    torch.testing.assert_close(directions(encoder, IMAGE, TEXT, "bank"), torch.tensor([[[0.4, -0.8], [-0.6, -1.8]]]))


def test_texts_that_the_image_shows_weigh_more(encoder: Any) -> None:
    own, other = math.exp(2 * 0.8), math.exp(2 * 0.96)  # the image's cosines with the first text and with the bank's
    own, other = own / ((own + other) / 2), other / ((own + other) / 2)
    mean = [(own * 1 + other * 0.6) / 2, other * 0.8 / 2]
    found = directions(encoder, IMAGE, TEXT, "weighted")[0, 0]
    torch.testing.assert_close(found, torch.tensor([own - mean[0], -mean[1]]))


def test_only_what_exceeds_the_mean_of_its_map_counts() -> None:
    maps = torch.tensor([[[[1.0, 2.0], [3.0, 6.0]], [[5.0, 5.0], [5.0, 5.0]]]])
    assert above_the_mean(maps).tolist() == [[[[0.0, 0.0], [0.0, 3.0]], [[0.0, 0.0], [0.0, 0.0]]]]
