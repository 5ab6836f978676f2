"""The page itself, click by click, without a browser. No click may ever end in an exception."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import xtool_app
from xtool.plugin import open_dataset
from xtool.testing.planted import planted_image
from xtool_app import settings
from xtool_app.export import KINDS
from xtool_app.models import Models
from xtool_app.search import Failure

pytest.importorskip("xtool_vlscore", reason="needs the plugin xtool-vlscore, which is not installed")

testing = pytest.importorskip("streamlit.testing.v1", reason="the web app needs streamlit")

PAGE = Path(str(xtool_app.__file__)).with_name("page.py")

pytestmark = pytest.mark.filterwarnings("default")  # Streamlit's own are not ours to mend


@pytest.fixture
def page(planted: Models) -> Any:
    """The page as it opens: there are no bundled scenes here, so it asks for a picture."""
    return run(testing.AppTest.from_file(str(PAGE), default_timeout=60))


@pytest.fixture
def upload(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes, str], None]:
    """Put a file into the upload box, which AppTest of the oldest Streamlit cannot do."""

    def put(content: bytes, name: str) -> None:
        import streamlit

        class File(io.BytesIO):
            pass

        file = File(content)
        file.name = name
        monkeypatch.setattr(streamlit, "file_uploader", lambda *args, **kwargs: file)

    return put


def run(page: Any) -> Any:
    """Run the script until no search is under way, as the page's own refreshing would."""
    page.run()
    deadline = time.monotonic() + 60
    while "search" in page.session_state and time.monotonic() < deadline:
        if page.session_state["search"].state == "asking":
            break
        page.session_state["search"].wait(0.2)
        page.run()
    assert not page.exception, [e.value for e in page.exception]
    return page


def click(page: Any, label: str) -> Any:
    (button,) = [b for b in page.button if b.label == label]
    button.click()
    return run(page)


def patches() -> bytes:
    stream = io.BytesIO()
    planted_image({"red": (0, 0, 24, 24), "green": (40, 40, 64, 64)}).save(stream, "PNG")
    return stream.getvalue()


def said(page: Any) -> str:
    kinds = (page.markdown, page.caption, page.error, page.info, page.warning)
    drawn = [element.proto.body for element in page.get("html")]
    return "\n".join([*(element.value for kind in kinds for element in kind), *drawn])


def test_the_empty_page_says_how_to_begin(page: Any) -> None:
    assert "Upload a picture" in said(page)
    click(page, "Find it!")
    assert "Upload a picture" in page.error[0].value


def test_upload_ask_and_find(page: Any, upload: Callable[..., None]) -> None:
    upload(patches(), "patches.png")
    page.text_area[0].set_value("red\nblue")
    click(page, "Find it!")
    assert [tab.label for tab in page.tabs] == ["red", "blue"]
    assert "present" in said(page)
    assert "absent" in said(page)


def test_a_text_of_several_words_says_which_mattered(page: Any, upload: Callable[..., None]) -> None:
    upload(patches(), "patches.png")
    page.text_area[0].set_value("a red <i>thing\nblue")
    click(page, "Find it!")
    (told,) = [body for body in (element.proto.body for element in page.get("html")) if "Which words mattered" in body]
    assert re.search(r'xt-for"[^>]*><i>red</i><small>\+\d\.\d{3}</small>', told), "of a red picture"
    assert "<i>&lt;i&gt;thing</i><small>0</small>" in told
    assert "blue" not in told, "a single word says no more than the verdict"
    page.toggle(key="words").set_value(False)
    run(page)
    assert "The form has changed since" in said(page)
    click(page, "Find it!")
    assert "Which words mattered" not in said(page)


def test_the_threshold_moves_boxes_and_runs_no_model(
    page: Any, upload: Callable[..., None], planted: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(patches(), "patches.png")
    page.text_area[0].set_value("red")
    click(page, "Find it!")
    before = page.session_state["answer"]
    monkeypatch.setattr(planted, "encoder", lambda name: pytest.fail("a model was asked for"))
    page.slider(key="threshold").set_value(0.9)
    page.selectbox(key="colours").set_value("viridis")
    run(page)
    assert page.session_state["answer"] is before
    assert "at 0.90" in said(page)


def test_methods_are_compared(page: Any, upload: Callable[..., None]) -> None:
    upload(patches(), "patches.png")
    page.multiselect[0].set_value(["vlscore", "colourcam"])
    run(page)
    page.text_area[0].set_value("red")
    click(page, "Find it!")
    assert page.tabs[-1].label.endswith("Methods compared")
    assert {metric.label for metric in page.metric} == {"Maps agree", "Boxes overlap", "Distance of the hottest spots"}


def test_options_of_the_form_reach_the_method(page: Any, upload: Callable[..., None]) -> None:
    upload(patches(), "patches.png")
    next(box for box in page.selectbox if box.label == "preset").set_value("paper")
    run(page)
    next(box for box in page.checkbox if box.label == "softmax").set_value(False)
    page.text_area[0].set_value("red")
    click(page, "Find it!")
    (request,) = page.session_state["answer"].query.methods
    assert request.label == "vlscore:preset=paper:softmax=False"


def test_a_second_text_is_answered_at_once(page: Any, upload: Callable[..., None]) -> None:
    upload(patches(), "patches.png")
    page.text_area[0].set_value("red")
    click(page, "Find it!")
    page.text_area[0].set_value("green")
    click(page, "Find it!")
    assert "no new pass through the model" in said(page)


def test_a_slow_search_is_asked_about_and_can_be_cancelled(
    page: Any, upload: Callable[..., None], planted: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planted, "seconds_per_pass", lambda encoder: 60.0)
    upload(patches(), "patches.png")
    page.text_area[0].set_value("red")
    click(page, "Find it!")
    assert "minutes" in page.warning[0].value
    click(page, "Cancel")
    assert "Stopped" in said(page)
    assert "search" not in page.session_state
    click(page, "Find it!")
    click(page, "Run it anyway")
    assert page.session_state["answer"].state == "done"


@pytest.mark.parametrize("content", [b"", b"not a picture", patches()[:80]])
def test_a_file_that_is_no_picture_is_told_in_words(page: Any, upload: Callable[..., None], content: bytes) -> None:
    upload(content, "<script>alert(1)</script>.png")
    run(page)
    assert len(page.error) == 1
    assert "\\<script\\>" in page.error[0].value
    click(page, "Find it!")


def test_no_text_and_no_method_are_told_in_words(page: Any, upload: Callable[..., None]) -> None:
    upload(patches(), "patches.png")
    click(page, "Find it!")
    assert "what to look for" in page.error[0].value
    page.multiselect[0].set_value([])
    click(page, "Find it!")
    assert "at least one method" in said(page)


def test_a_failing_search_is_told_in_words(
    page: Any, upload: Callable[..., None], planted: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(planted, "explainer", broken)
    upload(patches(), "patches.png")
    page.text_area[0].set_value("red")
    click(page, "Find it!")
    assert "did not expect" in page.error[0].value
    assert "secret" not in said(page)


def test_one_pixel_and_a_panorama_are_pictures_too(page: Any, upload: Callable[..., None]) -> None:
    for size in ((1, 1), (3000, 4)):
        stream = io.BytesIO()
        Image.new("RGB", size, "red").save(stream, "PNG")
        upload(stream.getvalue(), "odd.png")
        page.text_area[0].set_value("red")
        click(page, "Find it!")
        assert page.session_state["answer"].state == "done", page.session_state["answer"].error


def test_a_changed_form_says_that_the_answer_is_for_another_question(page: Any, upload: Callable[..., None]) -> None:
    upload(patches(), "patches.png")
    page.text_area[0].set_value("red")
    click(page, "Find it!")
    assert "has changed since" not in said(page)
    page.text_area[0].set_value("red")
    page.radio(key="fit").set_value("crop")
    run(page)
    assert "has changed since" in said(page)


def test_a_failing_method_is_named_beside_the_answers_of_the_others(
    page: Any, upload: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    from xtool_app.search import Search

    real = Search._explained

    def explained(self: Search, explainer: Any, request: Any) -> Any:
        return Failure(request.label, "it broke") if request.label == "colourcam" else real(self, explainer, request)

    monkeypatch.setattr(Search, "_explained", explained)
    upload(patches(), "patches.png")
    page.multiselect[0].set_value(["vlscore", "colourcam"])
    run(page)
    page.text_area[0].set_value("red")
    click(page, "Find it!")
    assert "colourcam gave no answer" in plain_again(page.error[0].value)
    assert [each.method for each in page.session_state["answer"].answer.explanations] == ["vlscore"]


@pytest.mark.parametrize("kind", ["Picture (PNG)", "Drawing (SVG)", "Boxes (JSON)", "Maps (NumPy)"])
def test_a_file_that_cannot_be_made_is_told_and_not_silently_lost(
    page: Any, upload: Callable[..., None], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    def broken(*_: object) -> bytes:
        raise MemoryError

    kinds = tuple(replace(each, make=broken) for each in KINDS)
    monkeypatch.setattr("xtool_app.shell.answer.KINDS", kinds)
    upload(patches(), "patches.png")
    page.text_area[0].set_value("red")
    click(page, "Find it!")
    page.session_state["save as"] = next(each for each in kinds if each.title == kind)
    page.run()
    assert page.error


@pytest.mark.slow
def test_the_first_example_answers_by_itself_and_rightly() -> None:
    """A photograph before the model that knows photographs; what it shows is written down beside it."""
    pytest.importorskip("xtool_photo", reason="needs the plugin xtool-photo")
    page = run(testing.AppTest.from_file(str(PAGE), default_timeout=120))
    if "search" in page.session_state:  # on a machine that is busy with other things
        click(page, "Run it anyway")
    answer = page.session_state["answer"].answer
    assert answer.query.encoder == "photo"
    sample = open_dataset("photos")[0]
    verdicts = dict(zip(answer.explanations[0].texts, answer.explanations[0].verdicts, strict=True))
    assert verdicts[sample.label].words == "present"
    assert verdicts[sample.absent].words == "absent"


@pytest.mark.slow
def test_a_model_for_pictograms_says_loudly_that_it_does_not_know_photographs(upload: Callable[..., None]) -> None:
    pytest.importorskip("xtool_tiny", reason="needs the plugin xtool-tiny")
    settings.configure(settings.Settings(encoder="tiny-rn"))
    try:
        upload(patches(), "patches.png")
        page = testing.AppTest.from_file(str(PAGE), default_timeout=120)
        page.session_state["source"] = "My own picture"
        page.session_state["opened"] = True
        page.run()
        assert "knows only pictograms" in page.error[0].value.replace("\\", "")
    finally:
        settings.configure(settings.Settings())


def plain_again(escaped: str) -> str:
    return escaped.replace("\\", "")
