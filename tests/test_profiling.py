"""The parts of a profile add up to the whole, and nothing is counted twice."""

from __future__ import annotations

import time

import pytest

from xtool.engine.profiling import OTHER, TOWER, part, profiled


def test_a_part_within_a_part_is_timed_for_itself_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    with profiled() as profile:
        now[0] += 1
        with part("methods"):
            now[0] += 2
            with part(TOWER):
                now[0] += 16
            now[0] += 4
        now[0] += 8
        with part(TOWER):
            now[0] += 32
    now[0] += 100
    assert profile.seconds == {OTHER: 9, "methods": 6, TOWER: 48}
    assert profile.total == 63
    assert profile.outside_tower == pytest.approx(15 / 63)


def test_a_part_ends_where_an_exception_leaves_it(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    with profiled() as profile:
        with pytest.raises(KeyError), part("boxes"):
            now[0] += {}["missing"]
        now[0] += 2
    assert profile.seconds == {"boxes": 0, OTHER: 2}


def test_the_device_is_waited_for_before_the_clock_is_read() -> None:
    waits = []
    with profiled(lambda: waits.append(1)), part("boxes"):
        pass
    assert len(waits) == 3


def test_without_a_profile_nothing_happens() -> None:
    with part("boxes"):
        pass
    with profiled() as profile:
        pass
    assert set(profile.seconds) == {OTHER}
