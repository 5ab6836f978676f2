"""What people type, and what they are told."""

from __future__ import annotations

import pytest

from xtool.errors import UsageError
from xtool.plugin import Understanding
from xtool_app.wording import box_count, duration, page_words, plain, questions, taken_for


def test_a_bare_name_becomes_a_prompt_and_a_caption_stays() -> None:
    asked = questions("dog\n\n  a red car \nan image of a cat.\ndog\n")
    assert [q.text for q in asked] == ["dog", "a red car", "an image of a cat."]
    assert [q.prompt for q in asked] == ["an image of a dog.", "an image of a red car.", "an image of a cat."]


def test_words_can_be_asked_as_typed() -> None:
    assert questions("dog", None)[0].prompt == "dog"


@pytest.mark.parametrize("typed", ["", " \n\t", "\n".join(str(i) for i in range(13)), "x" * 301])
def test_nothing_and_too_much_are_refused_in_words(typed: str) -> None:
    with pytest.raises(UsageError):
        questions(typed)


def test_typed_markup_is_shown_letter_for_letter() -> None:
    shown = plain("<b>*dog*</b> [x](http://y) $z$ :red[q]\n# title")
    assert "\n" not in shown
    for mark in "<>*[]()$#":
        assert shown.count(mark) == shown.count("\\" + mark)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "less than a second"), (1.2, "a second"), (45, "45 seconds"), (150, "2 minutes"), (7200, "2.0 hours")],
)
def test_durations_read_like_people_talk(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_boxes_are_counted_in_words() -> None:
    assert [box_count(n) for n in (0, 1, 2)] == ["no box", "1 box", "2 boxes"]


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ("no tag 'x'; give --pretrained with a tag", "no tag 'x'; give the weights with a tag"),
        ("unknown encoder 'x'; `xtool encoders` lists all", "unknown encoder 'x'"),
        ("--frobnicate is odd", "the option frobnicate is odd"),
        ("a well-known error", "a well-known error"),
    ],
)
def test_errors_speak_of_the_page_and_not_of_flags(told: str, shown: str) -> None:
    assert page_words(told) == shown


def test_what_a_text_was_taken_for_is_told_in_a_few_words() -> None:
    fox = Understanding("a fox", True, (("red fox", 0.5), ("kit fox", 0.3), ("grey fox", 0.1), ("wolf", 0.1)), ("fox",))
    assert taken_for(fox) == "taken for red fox 50%, kit fox 30%, grey fox 10%, …"
    many = tuple((name, 1 / 300) for name in ("tench", "goldfish", *map(str, range(298))))
    assert taken_for(Understanding("an animal", True, many, ("animal",)), 2) == "taken for tench, goldfish, …"
    assert taken_for(Understanding("asdfgh", False, reason="not a word")) == "not understood: not a word"
    assert taken_for(None) == ""
