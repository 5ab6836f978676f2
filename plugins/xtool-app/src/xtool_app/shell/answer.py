"""The answer: a tab per text with every method's map, methods against each other, and downloads."""

from __future__ import annotations

import streamlit as st

from xtool.paint.verdicts import Verdict
from xtool.plugin import Explanation
from xtool_app.agreement import agreement
from xtool_app.drawing import COLOUR_MAPS, Look, difference, overlay, resized
from xtool_app.export import file_stem, json_bytes, png_bytes
from xtool_app.pictures import Picture
from xtool_app.search import Answer
from xtool_app.shell.guard import guarded
from xtool_app.shell.running import show_end
from xtool_app.wording import box_count, duration, plain, titles

COLOURS = {
    Verdict.PRESENT: "green", Verdict.ABSENT: "red", Verdict.UNSURE: "orange", Verdict.CANNOT_TELL: "gray",
    Verdict.NOT_UNDERSTOOD: "violet",
}  # fmt: skip
ICONS = {
    Verdict.PRESENT: "check_circle", Verdict.ABSENT: "cancel", Verdict.UNSURE: "contrast", Verdict.CANNOT_TELL: "help",
    Verdict.NOT_UNDERSTOOD: "translate",
}  # fmt: skip


def show_answer(picture: Picture | None) -> None:
    """The last answer of this visitor, if there is one."""
    if st.session_state.pop("stopped", False):
        st.info("Stopped. Nothing was changed; “Find it!” starts again.", icon=":material/stop_circle:")
    search = st.session_state.get("answer")
    if search is None or not show_end(search):
        return
    st.divider()
    if picture is None or picture.digest != search.answer.query.picture.digest:
        name = plain(search.answer.query.picture.name)
        st.caption(f"This is the answer for {name}; press “Find it!” for the new picture.")
    st.fragment(_answer)(search.answer)


def _answer(answer: Answer) -> None:
    """A fragment: moving the threshold or the colours runs only this, and no model."""
    with guarded():
        names = titles(answer.query.questions)
        st.subheader("What the model sees")
        _summary(answer, names)
        look = _choose_look(answer)
        compare = len(answer.explanations) > 1
        tabs = st.tabs([*names, *([":material/compare: Methods compared"] if compare else [])])
        for row, tab in enumerate(tabs[: len(names)]):
            with tab:
                _text(answer, row, look)
        if compare:
            with tabs[-1]:
                _compare(answer, names, look)
        _footer(answer, look)


def _summary(answer: Answer, names: list[str]) -> None:
    """The presence verdicts of every method in one line."""
    for explanation in answer.explanations:
        if explanation.present is not None:
            told = [
                f":{COLOURS[verdict]}-badge[:material/{ICONS[verdict]}: {name}]"
                for name, verdict in zip(names, explanation.verdicts, strict=True)
            ]
            st.markdown(f"**{plain(explanation.method)}** looked for {' '.join(told)}")


def _choose_look(answer: Answer) -> Look:
    left, right = st.columns([5, 2], gap="large", vertical_alignment="bottom")
    threshold = left.slider(
        "Threshold of the boxes", 0.0, 0.95, answer.explanations[0].box_threshold, 0.01, key="threshold",
        help="Boxes surround what is hotter than this fraction of the hottest place. No model runs when it moves.",
    )  # fmt: skip
    with right.popover("Colours", icon=":material/palette:", width="stretch"):
        return Look(
            threshold=threshold,
            colour_map=st.selectbox("Colour map", COLOUR_MAPS, key="colours"),
            opacity=st.slider("Strength", 0.0, 1.0, Look().opacity, 0.05, key="opacity"),
            boxes=st.toggle("Show boxes", value=True, key="boxes"),
        )


def _text(answer: Answer, row: int, look: Look) -> None:
    alone = len(answer.explanations) == 1
    # More than three side by side are too small to see anything.
    width = 2 if alone else min(len(answer.explanations), 3)
    for start in range(0, len(answer.explanations), width):
        columns = st.columns(width, gap="medium")
        for column, explanation in zip(columns, answer.explanations[start : start + width], strict=False):
            with column:
                _panel(explanation, row, look)
        if alone:
            with columns[1]:
                st.markdown("**The picture alone**")
                st.image(resized(answer.query.picture.image), width="stretch")
                st.caption(f"Asked: “{plain(answer.query.questions[row].prompt)}”")


def _panel(explanation: Explanation, row: int, look: Look) -> None:
    verdict = explanation.verdicts[row]
    st.markdown(f"**{plain(explanation.method)}** :{COLOURS[verdict]}[:material/{ICONS[verdict]}: {verdict.words}]")
    st.image(overlay(explanation, row, look), width="stretch")
    found = explanation.boxes(look.threshold)[row]
    score = "" if explanation.scores is None else f" · evidence {float(explanation.scores[row]):+.3f}"
    st.caption(f"{box_count(len(found))} at {look.threshold:.2f}{score}")


def _compare(answer: Answer, names: list[str], look: Look) -> None:
    rows = list(range(len(names)))
    methods = list(range(len(answer.explanations)))
    pick_text, pick_first, pick_second = st.columns(3, gap="medium")

    def name_of(index: int) -> str:
        return answer.explanations[index].method

    row = pick_text.selectbox("Text", rows, format_func=lambda i: answer.query.questions[i].text, key="compared text")
    first = answer.explanations[pick_first.selectbox("One method", methods, format_func=name_of, key="first")]
    second = answer.explanations[pick_second.selectbox("Another", methods, index=1, format_func=name_of, key="second")]
    left, right, between = st.columns(3, gap="medium")
    with left:
        _panel(first, row, look)
    with right:
        _panel(second, row, look)
    with between:
        st.markdown("**Difference**")
        st.image(difference(first, second, row), width="stretch")
        st.caption(":red[red]: hotter for the first · :blue[blue]: for the second")
    found = agreement(first, second, row, look.threshold)
    one, two, three = st.columns(3, gap="medium")
    one.metric(
        "Maps agree", "–" if found.correlation is None else f"{found.correlation:+.2f}",
        help="Correlation of the two heat maps: 1 is the same shape, 0 unrelated, −1 opposite.",
    )  # fmt: skip
    two.metric(
        "Boxes overlap", "–" if found.box_iou is None else f"{found.box_iou:.0%}",
        help="Intersection over union of the largest boxes.",
    )  # fmt: skip
    three.metric(
        "Hottest places apart", "–" if found.peak_distance is None else f"{found.peak_distance:.0%}",
        help="As a fraction of the picture's diagonal.",
    )  # fmt: skip


def _footer(answer: Answer, look: Look) -> None:
    if not answer.trained:
        st.warning(f"{plain(answer.query.encoder)} has random weights: its maps show nothing that it has learnt.")
    cost = f"{answer.passes:,} forward passes" if answer.passes else "no new forward pass"
    png, document, told = st.columns([2, 2, 5], gap="small", vertical_alignment="center")
    stem = file_stem(answer)
    png.download_button(
        "Picture (PNG)", lambda: png_bytes(answer, look), f"{stem}.png", "image/png",
        icon=":material/image:", width="stretch", key="png", on_click="ignore",
    )  # fmt: skip
    document.download_button(
        "Boxes (JSON)", lambda: json_bytes(answer, look.threshold), f"{stem}.json", "application/json",
        icon=":material/data_object:", width="stretch", key="json", on_click="ignore",
    )  # fmt: skip
    told.caption(f"{plain(answer.query.encoder)} ({plain(answer.weights)}): {cost}, {duration(answer.seconds)}.")
