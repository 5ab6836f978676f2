"""What stands behind ``encode_text``, and the check of pixels."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from xtool.errors import UsageError
from xtool.loading import TextCache, check_pixels


class Tower:
    """Embeds a text as [its length, 1], and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.weight = torch.ones(2, requires_grad=True)

    def __call__(self, texts: list[str]) -> Tensor:
        self.asked.append(list(texts))
        return self.weight * torch.tensor([[float(len(text)), 1.0] for text in texts])


def cache(size: int = 10) -> TextCache:
    return TextCache(2, torch.device("cpu"), size=size)


def test_each_text_is_embedded_once_and_the_answer_has_the_order_of_the_question() -> None:
    texts, tower = cache(), Tower()
    assert texts.encode(["cat", "horse", "cat"], tower).tolist() == [[3, 1], [5, 1], [3, 1]]
    assert texts.encode(("ox", "horse"), tower).tolist() == [[2, 1], [5, 1]]
    assert tower.asked == [["cat", "horse"], ["ox"]]


def test_no_texts_are_no_rows_and_ask_no_tower() -> None:
    tower = Tower()
    assert cache().encode([], tower).shape == (0, 2)
    assert tower.asked == []


def test_a_single_string_is_refused() -> None:
    with pytest.raises(UsageError, match="a list of texts, not the single string 'cat'"):
        cache().encode("cat", Tower())


def test_of_more_texts_than_are_kept_those_asked_for_last_stay() -> None:
    texts, tower = cache(size=2), Tower()
    texts.encode(["cat", "horse"], tower)
    texts.encode(["cat"], tower)
    texts.encode(["ox"], tower)
    texts.encode(["cat", "ox"], tower)
    assert tower.asked == [["cat", "horse"], ["ox"]]
    texts.encode(["horse"], tower)
    assert tower.asked[-1] == ["horse"]


def test_one_call_may_ask_for_more_than_is_kept() -> None:
    assert cache(size=1).encode(["cat", "horse", "ox"], Tower()).tolist() == [[3, 1], [5, 1], [2, 1]]


def test_what_is_forgotten_frees_its_memory_though_others_of_its_call_stay() -> None:
    texts, whole = cache(size=1), torch.ones(3, 2)
    texts.encode(["cat", "horse", "ox"], lambda _new: whole)
    (kept,) = texts._kept.values()
    assert kept.untyped_storage().nbytes() == 2 * whole.element_size()


def test_an_embedding_belongs_to_who_asked() -> None:
    texts, tower = cache(), Tower()
    texts.encode(["cat"], tower).zero_()
    assert texts.encode(["cat"], tower).tolist() == [[3, 1]]


def test_embeddings_have_no_gradient_and_serve_one_even_if_asked_for_in_inference_mode() -> None:
    with torch.inference_mode():
        found = cache().encode(["cat"], Tower())
    assert not found.requires_grad
    image = torch.ones(2, requires_grad=True)
    (found @ image).sum().backward()
    assert image.grad is not None
    assert image.grad.tolist() == [3, 1]


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, lambda texts: pickle.loads(pickle.dumps(texts))])
def test_a_copy_starts_empty_and_is_as_large(way: Any) -> None:
    texts, tower = cache(size=2), Tower()
    texts.encode(["cat"], tower)
    again = way(texts)
    assert again.encode(["cat"], tower).tolist() == [[3, 1]]
    assert tower.asked == [["cat"], ["cat"]]
    again.encode(["horse", "ox"], tower)
    again.encode(["cat"], tower)
    assert tower.asked[-1] == ["cat"]
    assert again.encode([], tower).shape == (0, 2)


def test_threads_take_turns_and_none_embeds_what_another_has() -> None:
    texts, tower, ready = cache(), Tower(), Barrier(4)

    def ask(_: int) -> Tensor:
        ready.wait(timeout=60)
        return texts.encode(["cat", "horse"], tower)

    def embed_within(new: list[str]) -> Tensor:
        assert texts.lock.locked()
        return tower(new)

    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(ask, range(4)))
    assert tower.asked == [["cat", "horse"]]
    assert all(each.tolist() == [[3, 1], [5, 1]] for each in found)
    texts.encode(["ox"], embed_within)


def test_a_tower_that_fails_is_asked_again() -> None:
    def fails(_: list[str]) -> Tensor:
        raise RuntimeError("out of memory")

    texts = cache()
    with pytest.raises(RuntimeError, match="out of memory"):
        texts.encode(["cat"], fails)
    assert texts.encode(["cat"], Tower()).tolist() == [[3, 1]]


INFO: Any = SimpleNamespace(name="small", input_size=(32, 48))


def test_pixels_of_the_encoder_s_size_pass() -> None:
    check_pixels(INFO, torch.zeros(2, 3, 32, 48))
    check_pixels(INFO, torch.zeros(0, 3, 32, 48))


@pytest.mark.parametrize("shape", [(2, 3, 48, 32), (2, 1, 32, 48), (3, 32, 48), (1, 2, 3, 32, 48)])
def test_other_pixels_are_refused_with_both_sizes(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"small takes pixels \[B, 3, 32, 48\], not \[") as raised:
        check_pixels(INFO, torch.zeros(shape))
    assert str(raised.value).endswith(f"not {list(shape)}")
