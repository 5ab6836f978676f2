"""Who has left: the search stops, the session ends, and the work kept for pictures goes with the last one."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable

import pytest

from xtool_app.models import Models
from xtool_app.search import Query, Search
from xtool_app.visitors import SEARCH_GRACE, SESSION_GRACE, Visitors


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Server:
    """Sessions as Streamlit has them: some connected, some ended."""

    def __init__(self, *connected: str) -> None:
        self.connected = set(connected)
        self.ended: list[str] = []

    def here(self, session: str) -> bool:
        return session in self.connected

    def look(self, known: Visitors) -> None:
        known.look(self.here, self.ended.append)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_session_that_stays_away_is_ended_and_others_are_not(planted: Models, clock: Clock) -> None:
    known, server = Visitors(planted, clock), Server("one", "two")
    known.came("one")
    known.came("two")
    server.look(known)
    server.connected.remove("one")
    clock.now += SESSION_GRACE - 1
    server.look(known)
    assert server.ended == []
    clock.now += 2
    server.look(known)
    server.look(known)
    assert server.ended == ["one"]


def test_who_comes_back_in_time_is_kept(planted: Models, clock: Clock) -> None:
    known, server = Visitors(planted, clock), Server()
    known.came("one")
    for _ in range(4):
        clock.now += SESSION_GRACE - 1
        server.look(known)
        server.connected.add("one")
        server.look(known)
        server.connected.clear()
    assert server.ended == []


def test_a_search_stops_when_its_tab_closes(
    planted: Models, query: Callable[..., Query], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached, go_on = threading.Event(), threading.Event()
    real = Search._passed

    def held(self: Search, images: int) -> None:
        reached.set()
        go_on.wait(30)
        real(self, images)

    monkeypatch.setattr(Search, "_passed", held)
    known, server = Visitors(planted, clock), Server("one")
    search = Search(query("red", "vlscore"), planted).start()
    known.searches("one", search)
    assert reached.wait(30)
    server.look(known)
    server.connected.clear()
    clock.now += SEARCH_GRACE + 1
    server.look(known)
    go_on.set()
    search.wait(30)
    assert (search.state, search.answer) == ("stopped", None)


def test_a_question_that_nobody_will_answer_is_taken_back(
    planted: Models, query: Callable[..., Query], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planted, "seconds_per_pass", lambda encoder: 60.0)
    known, server = Visitors(planted, clock), Server()
    search = Search(query("red", "vlscore"), planted).start()
    known.searches("one", search)
    clock.now += SEARCH_GRACE + 1
    server.look(known)
    search.wait(30)
    assert search.state == "stopped"


def test_the_work_for_pictures_goes_with_the_last_visitor(
    planted: Models, query: Callable[..., Query], clock: Clock
) -> None:
    asked = query("red")
    Search(asked, planted).start().wait(60)
    kept = weakref.ref(planted.explainer(asked.picture, asked.encoder, asked.fit))
    known, server = Visitors(planted, clock), Server("two")
    known.came("one")
    known.came("two")
    clock.now += SESSION_GRACE + 1
    server.look(known)
    gc.collect()
    assert server.ended == ["one"]
    assert kept() is not None, "the second one may ask about the picture again"
    server.connected.clear()
    clock.now += SESSION_GRACE + 1
    with planted.lock:  # a search is still at its last pass
        server.look(known)
        assert kept() is not None
    server.look(known)
    gc.collect()
    assert kept() is None
    assert planted.loaded(asked.encoder) is not None, "the encoder stays loaded"
