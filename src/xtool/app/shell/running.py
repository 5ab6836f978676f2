"""A search under way: progress, the question before slow work, and the button that stops it."""

from __future__ import annotations

import streamlit as st

from xtool.app.search import Search
from xtool.app.shell.guard import guarded, show_error
from xtool.app.wording import duration, plain

REFRESH_SECONDS = 0.5


def show_search() -> None:
    """The search of this visitor, if there is one; finished ones become the answer or a message."""
    search = st.session_state.get("search")
    if search is not None:
        st.fragment(_watch, run_every=REFRESH_SECONDS)(search)


def _watch(search: Search) -> None:
    with guarded():
        if not search.active:
            _finish(search)
            st.rerun()
        if search.state == "asking":
            _ask(search)
        else:
            _progress(search)


def _finish(search: Search) -> None:
    st.session_state.pop("search", None)
    st.session_state["answer"] = search


def _progress(search: Search) -> None:
    told = {
        "waiting": "Waiting: another search is under way",
        "loading": f"Getting {plain(search.order.encoder)} ready and measuring it",
    }.get(search.state, "")
    if search.state == "searching" and search.estimate is not None:
        left = search.estimate.seconds * (1 - search.progress)
        told = f"Looking: {search.passes:,} of about {search.estimate.passes:,} glances at the picture"
        told += f", {duration(left)} left" if left >= 2 else ""
    bar, button = st.columns([6, 1], vertical_alignment="center")
    bar.progress(search.progress, text=told or "Almost there")
    if button.button("Stop", icon=":material/stop_circle:", width="stretch", key="stop"):
        _give_up(search)


def _ask(search: Search) -> None:
    estimate = search.estimate
    assert estimate is not None
    st.warning(
        f"**This will take about {duration(estimate.seconds)}** on this computer's processor: "
        f"{estimate.passes:,} glances at the picture. Fewer maps are quicker: set *Pca* or *Top k* in the options of "
        "the method, or try gradcam, which needs a single glance. Once done, further texts on this picture are quick.",
        icon=":material/hourglass_top:",
    )
    run, cancel, _ = st.columns([2, 2, 5])
    if run.button("Run it anyway", type="primary", width="stretch", key="agree"):
        search.agree()
    if cancel.button("Cancel", width="stretch", key="cancel"):
        _give_up(search)


def _give_up(search: Search) -> None:
    search.stop()
    # The thread ends after the glance under way; the visitor need not wait for that.
    st.session_state.pop("search", None)
    st.session_state["stopped"] = True
    st.rerun()


def show_end(search: Search) -> bool:
    """Say how a search ended that brought no answer. Returns whether there is one to show."""
    if search.state == "failed":
        show_error(search.error)
    return search.answer is not None
