"""What people type, and what they are told."""

from __future__ import annotations

import pytest

from xtool.errors import UsageError
from xtool_app.wording import box_count, duration, plain, questions


def test_a_bare_name_becomes_a_prompt_and_a_caption_stays() -> None:
    asked = questions("dog\n\n  a red car \nan image of a cat.\ndog\n")
    assert [q.text for q in asked] == ["dog", "a red car", "an image of a cat."]
    assert [q.prompt for q in asked] == ["an image of a dog.", "an image of a red car.", "an image of a cat."]


def test_words_can_be_asked_as_typed() -> None:
    assert questions("dog", as_typed=True)[0].prompt == "dog"


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
