"""A search in its thread: what it finds, what it keeps, how it asks, stops and fails."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from xtool.engine.cost import count_passes
from xtool.plugin import Understanding
from xtool_app.agreement import agreement
from xtool_app.drawing import Look, difference, overlay, sheet
from xtool_app.encoders import offered_encoders
from xtool_app.export import as_document, file_stem, json_bytes, maps_bytes, png_bytes, svg_bytes
from xtool_app.models import Models, RecentlyUsed
from xtool_app.search import UNEXPECTED, Query, Search

pytest.importorskip("xtool_vlscore", reason="needs the plugin xtool-vlscore, which is not installed")

Run = Callable[..., Search]

# Where the picture shows them (see conftest).
SEED = "vlscore:preset=paper"  # the article's settings, which will not change
RED, GREEN = (0, 0, 24, 24), (40, 40, 64, 64)


def test_a_search_finds_what_was_planted(search: Run) -> None:
    done = search("red\nblue", SEED)
    assert (done.state, done.progress) == ("done", 1.0)
    assert done.answer is not None
    (explanation,) = done.answer.explanations
    y, x = np.unravel_index(explanation.maps[0].argmax(), explanation.maps[0].shape)
    assert RED[0] <= x < RED[2]
    assert RED[1] <= y < RED[3]
    assert explanation.present.tolist() == [True, False]


def test_a_second_text_is_answered_from_what_was_kept(search: Run) -> None:
    first, second = search("red", SEED), search("green", SEED)
    assert first.answer is not None
    assert second.answer is not None
    assert first.answer.passes > 0
    assert second.answer.passes == 0
    heat = second.answer.explanations[0].maps[0]
    y, x = np.unravel_index(heat.argmax(), heat.shape)
    assert GREEN[0] <= x < GREEN[2]
    assert GREEN[1] <= y < GREEN[3]


def test_a_slow_choice_is_asked_about_once(
    query: Callable[..., Query], planted: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planted, "seconds_per_pass", lambda encoder: 60.0)
    slow = Search(query("red", "vlscore"), planted).start()
    wait_for(lambda: slow.state == "asking")
    assert slow.estimate is not None
    assert slow.estimate.seconds == 60.0 * slow.estimate.passes
    assert slow.passes == 0
    slow.agree()
    slow.wait(30)
    assert slow.state == "done"
    again = Search(query("green", "vlscore"), planted).start()
    again.wait(30)
    assert again.state == "done", "its work is kept, so nobody is asked"


def test_a_slow_choice_can_be_declined(
    query: Callable[..., Query], planted: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planted, "seconds_per_pass", lambda encoder: 60.0)
    slow = Search(query("red", "vlscore"), planted).start()
    wait_for(lambda: slow.state == "asking")
    slow.stop()
    slow.wait(30)
    assert (slow.state, slow.answer, slow.passes) == ("stopped", None, 0)


def test_a_search_stops_between_two_passes_and_the_next_one_works(
    query: Callable[..., Query], planted: Models, search: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached, go_on = threading.Event(), threading.Event()
    real = Search._passed

    def held(self: Search, images: int) -> None:
        reached.set()
        go_on.wait(30)
        real(self, images)

    monkeypatch.setattr(Search, "_passed", held)
    running = Search(query("red", "vlscore"), planted).start()
    assert reached.wait(30)
    running.stop()
    go_on.set()
    running.wait(30)
    assert (running.state, running.answer) == ("stopped", None)
    monkeypatch.setattr(Search, "_passed", real)
    assert search("red", "vlscore").state == "done"


def test_an_error_for_people_is_passed_on(search: Run) -> None:
    done = search("red", "vlscore:layer=attic")
    assert done.state == "failed"
    assert "attic" in done.error


def test_a_failing_method_costs_no_other_its_answer(search: Run) -> None:
    done = search("red", "colourcam,vlscore:layer=attic")
    assert done.answer is not None
    assert [each.method for each in done.answer.explanations] == ["colourcam"]
    (failure,) = done.answer.failures
    assert failure.method == "vlscore:layer=attic"
    assert "attic" in failure.reason
    assert "vlscore:layer=attic" in json.loads(json_bytes(done.answer, Look()))["failures"]


def test_a_text_that_the_model_does_not_know_is_not_judged(search: Run) -> None:
    answer = search("red\nblue", SEED).answer
    assert answer is not None
    (explanation,) = answer.explanations
    unknown = Understanding("blue", False, reason="not a word")
    told = replace(answer, explanations=(replace(explanation, understood=(None, unknown)),))
    assert [bar is None for bar in told.evidence(0)] == [False, True]


def test_the_same_question_is_known_again_and_every_change_is_seen(query: Callable[..., Query]) -> None:
    asked = query("red", "colourcam")
    assert asked.same_as(query("red", "colourcam"))
    assert not asked.same_as(query("green", "colourcam"))
    assert not asked.same_as(query("red", "everywhere"))
    assert not asked.same_as(replace(asked, fit="pad"))
    assert not asked.same_as(replace(asked, against=("green",)))
    assert not asked.same_as(replace(asked, words=True))


def test_an_unexpected_error_is_logged_and_not_shown(
    search: Run, planted: Models, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("secret of the server")

    monkeypatch.setattr(planted, "explainer", broken)
    done = search("red")
    assert (done.state, done.error) == ("failed", UNEXPECTED)
    assert "secret of the server" in caplog.text


@pytest.mark.parametrize(
    ("forwards", "passes"), [("1", 1), ("0", 0), ("2 + C", 12), ("1 + masks", 501), ("1 + 2·C", 21), ("some", None)]
)
def test_passes_are_read_from_the_spec(forwards: str, passes: int | None) -> None:
    assert count_passes(forwards, {"C": 10, "masks": 500}) == passes


def test_the_quicker_of_two_measurements_is_the_speed() -> None:
    from xtool.engine.cost import MEASURED_IMAGES, seconds_per_pass
    from xtool.testing.planted import PlantedCNN

    ticks = iter([0.0, 9.0, 10.0, 12.0])
    assert seconds_per_pass(PlantedCNN(), lambda: next(ticks)) == 2.0 / MEASURED_IMAGES


def test_the_shelf_keeps_what_was_used_last() -> None:
    shelf: RecentlyUsed[str] = RecentlyUsed(2)
    for key in ("a", "b", "a", "c"):
        shelf.get_or_make(key, key.upper)
    assert [shelf.get(key) for key in "abc"] == ["A", None, "C"]


def test_the_encoder_of_the_command_line_comes_first(planted: Models) -> None:
    assert offered_encoders("photographs")[0].name == "planted-cnn"


def test_the_threshold_and_colours_change_the_drawing_and_nothing_else(search: Run) -> None:
    answer = search("red").answer
    assert answer is not None
    (explanation,) = answer.explanations
    plain_, boxed = (np.asarray(overlay(explanation, 0, Look(boxes=boxes), side=64)) for boxes in (False, True))
    assert plain_.shape == (64, 64, 3)
    assert (plain_ != boxed).any()
    cold = np.asarray(overlay(explanation, 0, Look(opacity=0.0, boxes=False), side=64))
    np.testing.assert_array_equal(cold, np.asarray(answer.query.picture.image))


def test_the_sheet_has_a_row_per_text_and_a_column_per_method(search: Run) -> None:
    answer = search("red\ngreen", "colourcam,everywhere").answer
    assert answer is not None
    one, all_ = (sheet(each, Look()) for each in (replace(answer, explanations=answer.explanations[:1]), answer))
    assert len(one.axes) == 2 * 2 + 1
    assert len(all_.axes) == 2 * 3 + 1
    assert difference(answer.explanations[0], answer.explanations[1], 0, side=64).size == (64, 64)


def test_downloads_hold_the_answer(search: Run) -> None:
    answer = search("red\nblau & grün", "vlscore").answer
    assert answer is not None
    with Image.open(BytesIO(png_bytes(answer, Look()))) as image:
        assert image.format == "PNG"
    assert b"<svg" in svg_bytes(answer, Look())[:2000]
    maps = np.load(BytesIO(maps_bytes(answer, Look())))
    np.testing.assert_array_equal(maps[0], answer.explanations[0].maps)
    told = json.loads(json_bytes(answer, Look(threshold=0.5)))
    assert told["size"] == [64, 64]
    assert told["explanations"][0]["texts"][0]["text"] == "red"
    assert told["explanations"][0]["options"]["config"]["features"] == "auto"
    assert file_stem(answer) == "xtool-red-blau-gr-n"


def test_boxes_in_downloads_are_in_full_size_pixels(search: Run) -> None:
    answer = search("red").answer
    assert answer is not None
    small = as_document(answer, 0.5)["explanations"][0]["texts"][0]["boxes"]
    larger = replace(answer.query.picture, full_size=(128, 192))
    full = as_document(replace(answer, query=replace(answer.query, picture=larger)), 0.5)
    assert small
    assert full["explanations"][0]["texts"][0]["boxes"] == [
        [2 * x0, 3 * y0, 2 * x1, 3 * y1] for x0, y0, x1, y1 in small
    ]


def test_a_method_agrees_with_itself_and_not_with_a_blind_one(search: Run) -> None:
    answer = search("red", "colourcam,everywhere").answer
    assert answer is not None
    seeing, blind = answer.explanations
    same = agreement(seeing, seeing, 0, 0.5)
    assert same.correlation == pytest.approx(1.0)
    assert same.box_iou == 1.0
    assert same.peak_distance == 0.0
    other = agreement(seeing, blind, 0, 0.5)
    assert other.correlation is None
    assert other.box_iou is None


def wait_for(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    waiting = threading.Event()
    for _ in range(int(seconds / 0.01)):
        if condition():
            return
        waiting.wait(0.01)
    raise AssertionError("it never came to be")
