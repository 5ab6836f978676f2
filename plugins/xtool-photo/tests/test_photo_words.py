"""Tokens, plurals and slips of the pen, each against answers written down by hand."""

from __future__ import annotations

import pytest

from xtool_photo.spelling import corrected, one_slip
from xtool_photo.words import COMMA, plain, singulars, tokens


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Jack-o'-lantern", "jack o lantern"),
        ("a dog’s bowl", "a dog bowl"),
        ("CAFÉ", "cafe"),
        ("  two\tfoxes!  ", "two foxes"),
        ("猫", ""),
        ("🐶", ""),
    ],
)
def test_texts_become_plain_words(text: str, expected: str) -> None:
    assert plain(text) == expected


def test_signs_of_a_list_are_kept_apart() -> None:
    assert tokens("cat, dog & bird") == ["cat", COMMA, "dog", COMMA, "bird"]


@pytest.mark.parametrize(
    ("many", "one"),
    [("foxes", "fox"), ("puppies", "puppy"), ("churches", "church"), ("dogs", "dog"), ("firemen", "fireman"),
     ("buses", "bus"), ("bananas", "banana")],
)  # fmt: skip
def test_regular_plurals_have_their_singular_among_the_guesses(many: str, one: str) -> None:
    assert one in list(singulars(many, {}))


def test_irregular_plurals_come_first() -> None:
    assert next(singulars("mice", {"mice": "mouse"})) == "mouse"


def test_glass_is_no_plural() -> None:
    assert list(singulars("glass", {})) == []


@pytest.mark.parametrize("slip", ["girafe", "girraffe", "girafffe", "girafef", "girbffe"])
def test_one_slip_is_seen(slip: str) -> None:
    assert one_slip(slip, "giraffe")


def test_equal_words_are_no_slip_and_two_slips_are_too_many() -> None:
    assert not one_slip("dog", "dog")
    assert not one_slip("elefant", "elephant")


def test_a_slip_is_corrected_where_one_answer_is_near() -> None:
    assert corrected("mittex", ["mitten", "banana"]) == "mitten"


@pytest.mark.parametrize(
    ("word", "known", "why"),
    [
        ("bitten", ["kitten", "mitten"], "another first letter"),
        ("mittex", ["mitten", "mitter"], "two answers"),
        ("cet", ["cat"], "too short"),
        ("mitt3n", ["mitten"], "no word"),
    ],
)
def test_doubtful_slips_are_left_alone(word: str, known: list[str], why: str) -> None:
    assert corrected(word, known) is None, why
