"""A search under way: progress, the question before slow work, and the button that stops it."""

from __future__ import annotations

import streamlit as st

from xtool_app.drawing import resized
from xtool_app.markup import picture as markup
from xtool_app.pictures import Picture
from xtool_app.search import Search
from xtool_app.shell.guard import guarded
from xtool_app.wording import duration, plain

REFRESH_SECONDS = 0.4

SCROLL = """
<script>
  // {moment}
  if (window.innerWidth <= 640) document.querySelector(".st-key-answer").scrollIntoView()
</script>
"""


def scroll_to_answer() -> None:
    """On a phone the answer lies below the form: after a click it is brought into view, progress and all."""
    if st.session_state.get("scroll"):
        # A browser runs a script once, and this one is due again when the answer takes the place of the progress.
        moment = "search" if "search" in st.session_state else "answer"
        st.html(SCROLL.replace("{moment}", moment), unsafe_allow_javascript=True)  # nothing that a visitor typed


def show_search(picture: Picture | None) -> None:
    """The search of this visitor, if there is one; a finished one becomes the answer, or a message."""
    search = st.session_state.get("search")
    if search is None:
        if picture is not None and "answer" not in st.session_state:
            _show_picture(picture)
        return
    with guarded():
        if search.state == "asking":
            _ask(search)
            _show_picture(search.query.picture)
            return
        _follow(search)
    if search.state != "asking":
        st.session_state.pop("search", None)
        st.session_state["answer"] = search
    st.rerun()


def _show_picture(picture: Picture) -> None:
    st.html(markup(resized(picture.image), f"{picture.name}, not searched yet"))


def _follow(search: Search) -> None:
    """Move the bar until something new is to be said. A click anywhere ends this run of the script, not the search."""
    bar, button = st.columns([5, 1], vertical_alignment="center")
    # A callback comes before all else in the next run, so that even a busy page stops.
    button.button("Stop", icon=":material/stop_circle:", width="stretch", key="stop", on_click=_give_up, args=(search,))
    _show_picture(search.query.picture)
    moving = bar.empty()
    while search.active and search.state != "asking":
        moving.progress(search.progress, text=_progress(search))
        search.wait(REFRESH_SECONDS)


def _progress(search: Search) -> str:
    if search.state == "waiting":
        return "Waiting: another search is under way"
    if search.state == "loading" or search.estimate is None:
        return f"Getting {plain(search.query.encoder)} ready and measuring its speed"
    told = f"Searching: {search.passes:,} of about {search.estimate.passes:,} passes through the model"
    left = search.estimate.seconds * (1 - search.progress)
    return f"{told}, {duration(left)} left" if left >= 2 else told


def _ask(search: Search) -> None:
    estimate = search.estimate
    assert estimate is not None
    st.warning(
        f"**This will take about {duration(estimate.seconds)}** on this computer: "
        f"{estimate.passes:,} passes through the model. A method marked as quick, or the preset “fast” in a "
        "method's options, needs fewer. Once done, further texts on this picture are quick.",
        icon=":material/hourglass_top:",
    )
    run, cancel, _ = st.columns([2, 2, 3])
    run.button("Run it anyway", type="primary", width="stretch", key="agree", on_click=search.agree)
    cancel.button("Cancel", width="stretch", key="cancel", on_click=_give_up, args=(search,))


def _give_up(search: Search) -> None:
    search.stop()
    # The thread ends after the pass under way; the visitor need not wait for that.
    st.session_state.pop("search", None)
    st.session_state["stopped"] = True
