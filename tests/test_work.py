"""The parts of an account add up to the whole, nothing is counted twice, and shared work is charged to everyone."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from xtool.engine.work import OTHER, TOWER, Kept, Work, account, charged_once, part, shared, tower_pass


class Clock:
    """Seconds that pass only when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def passes(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(time, "perf_counter", lambda: found.now)
    return found


def test_a_part_within_a_part_is_timed_for_itself_alone(clock: Clock) -> None:
    with account() as work:
        clock.passes(1)
        with part("methods"):
            clock.passes(2)
            with part(TOWER):
                clock.passes(16)
            clock.passes(4)
        clock.passes(8)
        with part(TOWER):
            clock.passes(32)
    clock.passes(100)
    assert work.seconds == {OTHER: 9, "methods": 6, TOWER: 48}
    assert work.total == 63
    assert work.outside_tower == pytest.approx(15 / 63)


def test_what_an_inner_account_counts_the_outer_one_counts_too(clock: Clock) -> None:
    with account() as whole:
        clock.passes(1)
        with part("methods"), account() as image:
            clock.passes(2)
            with tower_pass(3):
                clock.passes(4)
        clock.passes(8)
        with tower_pass(5):
            clock.passes(16)
    assert (image.forwards, image.seconds) == (3, {"methods": 2, TOWER: 4})
    assert (whole.forwards, whole.seconds) == (8, {OTHER: 9, "methods": 2, TOWER: 20})


def test_a_part_ends_where_an_exception_leaves_it(clock: Clock) -> None:
    with account() as work:
        with pytest.raises(KeyError), part("boxes"):
            clock.passes({}["missing"])
        clock.passes(2)
    assert work.seconds == {"boxes": 0, OTHER: 2}


def test_the_device_is_waited_for_before_the_clock_is_read() -> None:
    waits = []
    with account(settle=lambda: waits.append(1)), part("boxes"):
        pass
    assert len(waits) == 3


def test_without_an_account_nothing_is_counted_or_shared() -> None:
    with part("boxes"), tower_pass(1):
        assert shared("what", (), lambda: 1) == 1
        assert shared("what", (), lambda: 2) == 2
    with account() as work:
        pass
    assert (set(work.seconds), work.forwards) == ({OTHER}, 0)


def test_a_pass_within_a_pass_counts_once_and_is_told_once() -> None:
    told: list[int] = []
    with account(on_pass=told.append) as work, tower_pass(2), tower_pass(2):
        pass
    assert (work.forwards, told) == (2, [2])


def embedded(clock: Clock) -> str:
    with tower_pass(10):
        clock.passes(5)
    return "embeddings"


def test_shared_work_is_done_once_and_charged_to_everyone(clock: Clock) -> None:
    kept, subject = Kept(), object()

    def method() -> None:
        clock.passes(1)
        shared("masked", (subject,), lambda: embedded(clock))

    with account(kept) as work:
        method()
        assert (work.forwards, work.charged_seconds) == (10, 0)
        method()
    assert (work.forwards, work.charged_seconds, work.total) == (20, 5, 7)
    with account(kept) as later:  # the same results serve a later account
        method()
    assert (later.forwards, later.charged_seconds, later.total) == (10, 5, 1)


def test_a_method_pays_once_for_what_it_uses_twice_and_for_what_that_needed(clock: Clock) -> None:
    """Masks need the pass (2 seconds, 5 images) and 3 seconds of their own; another method has made both."""
    image = object()

    def run_pass() -> str:
        with tower_pass(5):
            clock.passes(2)
        return "pass"

    def mask() -> str:
        shared("pass", (image,), run_pass)
        clock.passes(3)
        return "masks"

    kept = Kept()
    with account(kept):
        shared("masks", (image,), mask)
    with account(kept) as both, charged_once():
        shared("pass", (image,), run_pass)
        shared("masks", (image,), mask)
        shared("masks", (image,), mask)
    assert (both.forwards, both.charged_seconds) == (5, 5)
    with account(kept) as masks_alone, charged_once():
        shared("masks", (image,), mask)
    assert (masks_alone.forwards, masks_alone.charged_seconds) == (5, 5)
    with account(kept) as pass_alone, charged_once():
        shared("pass", (image,), run_pass)
    assert (pass_alone.forwards, pass_alone.charged_seconds) == (5, 2)


def test_other_subjects_are_other_work_even_when_they_are_equal() -> None:
    with account(Kept()):
        assert shared("sum", ([1],), lambda: "first") == "first"
        assert shared("sum", ([1],), lambda: "second") == "second"


def test_an_account_inside_that_keeps_nothing_takes_nothing_from_outside() -> None:
    subject = object()
    with account(Kept()):
        shared("what", (subject,), lambda: 1)
        with account():
            assert shared("what", (subject,), lambda: 2) == 2
        assert shared("what", (subject,), lambda: 3) == 1


def test_each_thread_has_an_account_of_its_own() -> None:
    def count(images: int) -> Work:
        with account() as work:
            for _ in range(images):
                with tower_pass(1):
                    pass
        return work

    with account() as outside, ThreadPoolExecutor(8) as pool:
        found = list(pool.map(count, range(1, 33)))
    assert [work.forwards for work in found] == list(range(1, 33))
    assert outside.forwards == 0


def test_a_pass_that_was_made_inside_anothers_shared_work_is_charged_to_who_asks_for_it_alone() -> None:
    def inner() -> int:
        def made() -> int:
            with tower_pass(1):
                return 7

        return shared("inner", (), made)

    def outer() -> int:
        with tower_pass(1):
            return inner()

    with account(Kept()) as work:
        shared("outer", (), outer)
        assert work.forwards == 1
        inner()
        assert work.forwards == 2
