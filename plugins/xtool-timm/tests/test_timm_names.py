"""From texts to classes."""

from __future__ import annotations

import pytest

from xtool_timm.names import ClassNames, words

NAMES = ClassNames(
    [
        ("tabby", "tabby cat"),
        ("tiger cat",),
        ("tiger", "Panthera tigris"),
        ("lesser panda", "red panda"),
        ("coonhound",),
        ("crane",),
        ("crane",),
        ("sea lion",),
    ],
    [
        "a cat with a grey coat",
        "a cat having a striped coat",
        "large feline of forests in most of Asia",
        "reddish-brown Old World raccoon-like carnivore",
        "large fast hunting dog used to hunt raccoons",
        "lifts and moves heavy objects",
        "large long-necked wading bird of marshes",
        "any of several large eared seals",
    ],
)


@pytest.mark.parametrize(
    ("text", "kind", "rows"),
    [
        ("tabby", "name", [0]),
        ("an image of a tabby cat.", "name", [0]),
        ("a photo of tigers", "name", [2]),
        ("a tiger cat", "name", [1]),  # the longer name wins
        ("a tiger in front of a sea lion", "name", [7]),
        ("PANTHERA TIGRIS", "name", [2]),
        ("an image of a crane.", "name", [5, 6]),  # a machine and a bird
        ("a sketch of a cat", "words", [0, 1]),
        ("an image of a raccoon.", "likeness", [3]),  # not the dog that hunts it
        ("a seal", "definition", [7]),
        ("tabbi", "spelling", [0]),
    ],
)
def test_a_text_reaches_the_nearest_classes(text: str, kind: str, rows: list[int]) -> None:
    found = NAMES.nearest(text)
    assert found.kind == kind
    assert sorted(match.index for match in found.matches) == rows
    assert found.exact == (kind == "name")


def test_matches_are_ranked_and_told() -> None:
    found = NAMES.nearest("an image of a panda hunting")
    scores = [match.score for match in found.matches]
    assert scores == sorted(scores, reverse=True)
    assert "lesser panda" in found.message()
    assert "'an image of a panda hunting' is taken for" in found.message()


def test_a_text_without_words_still_has_an_answer() -> None:
    assert len(NAMES.nearest("?!").matches) == 1


def test_plurals_are_cut_but_not_words_that_end_alike() -> None:
    assert words("Raccoon-like dogs, glass, bus, iris") == ("raccoon", "like", "dog", "glass", "bus", "iris")


def test_names_and_definitions_must_match_in_number() -> None:
    with pytest.raises(ValueError, match="1 names but 0 definitions"):
        ClassNames([("a",)], [])
