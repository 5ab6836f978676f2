"""The answer: evidence for every text, a tab per text with every method's map, methods against each other, files."""

from __future__ import annotations

from html import escape

import streamlit as st

from xtool_app.agreement import agreement
from xtool_app.drawing import COLOUR_MAPS, Look, difference, overlay, resized
from xtool_app.export import KINDS, file_stem
from xtool_app.markup import colour_bar, evidence_row, verdict_badge, word_strip
from xtool_app.markup import picture as markup
from xtool_app.pictures import Picture
from xtool_app.search import Answer, Query, Search
from xtool_app.shell.guard import guarded, show_error
from xtool_app.wording import box_count, duration, plain, taken_for, titles


def show_answer(picture: Picture | None, query: Query | None) -> None:
    """The last answer of this visitor, if there is one.

    Args:
        picture: the one that the form shows now.
        query: what the form asks now; ``None`` where something is missing.
    """
    if st.session_state.pop("stopped", False):
        st.info("Stopped. “Find it!” starts again.", icon=":material/stop_circle:")
    search: Search | None = st.session_state.get("answer")
    if search is None or "search" in st.session_state:
        return
    if search.answer is None:
        if search.state == "failed":
            show_error(search.error)
        if picture is not None:
            st.html(markup(resized(picture.image), f"{picture.name}, without an answer"))
        return
    if query is None or not query.same_as(search.answer.query):
        _say_stale(search.answer)
    st.fragment(_answer)(search.answer)


def _say_stale(answer: Answer) -> None:
    asked = answer.query
    texts = ", ".join(f"“{question.text}”" for question in asked.questions)
    st.warning(
        f"The form has changed since. This answer is for {plain(asked.picture.name)}: {plain(texts)}, by "
        f"{plain(asked.encoder)}. “Find it!” makes a new one.",
        icon=":material/history:",
    )


def _answer(answer: Answer) -> None:
    """A fragment: moving the threshold or the colours runs only this, and no model."""
    with guarded():
        _say_doubts(answer)
        _summary(answer)
        names = titles(answer.query.questions)
        compare = len(answer.explanations) > 1
        tabs = st.tabs([*names, *([":material/compare: Methods compared"] if compare else [])])
        look = _choose_look(answer)
        for row, tab in enumerate(tabs[: len(names)]):
            with tab:
                _text(answer, row, look)
        if compare:
            with tabs[-1]:
                _compare(answer, look)
        _files(answer, look)


def _say_doubts(answer: Answer) -> None:
    """What must be read before anything of the answer is believed."""
    for note in dict.fromkeys(note for explanation in answer.explanations for note in explanation.notes):
        st.warning(plain(note), icon=":material/warning:")
    if not answer.trained:
        st.error(
            f"{plain(answer.query.encoder)} has untrained weights: its maps are meaningless.", icon=":material/warning:"
        )
    for failure in answer.failures:
        show_error(f"{failure.method} gave no answer: {failure.reason}")


def _summary(answer: Answer) -> None:
    """The evidence of every method that has some, text by text; of the others, that they cannot tell."""
    silent = []
    for place, explanation in enumerate(answer.explanations):
        if explanation.present is None and len(answer.explanations) > 1:
            silent.append(explanation.method)
            continue
        rows = [
            evidence_row(question.text, taken_for(understood), bar, verdict)
            for question, understood, bar, verdict in zip(
                answer.query.questions, answer.understood, answer.evidence(place), explanation.verdicts, strict=True
            )
        ]
        if len(answer.explanations) > 1:
            st.html(f'<div class="xt-name"><b>{escape(explanation.method)}</b></div>' + "".join(rows))
        else:
            st.html("".join(rows))
    if silent:
        st.caption(
            f"{plain(', '.join(silent))}: cannot tell whether a thing is there, only where it would be if it were."
        )


def _choose_look(answer: Answer) -> Look:
    scale, slider, popover = st.columns([5, 5, 3], gap="medium", vertical_alignment="center")
    threshold = slider.slider(
        "Threshold of the boxes", 0.0, 0.95, answer.explanations[0].box_threshold, 0.01, key="threshold",
        help="Boxes surround what is hotter than this fraction of the hottest spot. Moving it runs no model.",
    )  # fmt: skip
    with popover.popover("Colours", icon=":material/palette:", width="stretch"):
        look = Look(
            threshold=threshold,
            colour_map=st.selectbox("Colour map", COLOUR_MAPS, key="colours"),
            opacity=st.slider("Strength", 0.0, 1.0, Look().opacity, 0.05, key="opacity"),
            boxes=st.toggle("Show boxes", value=True, key="boxes"),
        )
    scale.html(colour_bar(look))
    return look


def _text(answer: Answer, row: int, look: Look) -> None:
    # More than three side by side are too small to see anything.
    width = min(len(answer.explanations), 3)
    for start in range(0, len(answer.explanations), width):
        columns = st.columns(width, gap="medium")
        for place, column in zip(range(start, len(answer.explanations)), columns, strict=False):
            with column:
                _panel(answer, place, row, look)
    words = answer.explanations[0].words
    if words is not None and len(words[row]) > 1:  # of a single word it says no more than the verdict
        st.html(word_strip(answer.query.questions[row].text, row, words))


def _panel(answer: Answer, place: int, row: int, look: Look) -> None:
    explanation = answer.explanations[place]
    verdict = explanation.verdicts[row]
    text, name = answer.query.questions[row].text, answer.query.picture.name
    boxes = box_count(len(explanation.boxes(look.threshold)[row]))
    if len(answer.explanations) > 1:
        told = f"<b>{escape(explanation.method)}</b> {verdict_badge(verdict)}"
        st.html(f'<div class="xt-name">{told}</div>')
    alt = f"Where {explanation.method} sees “{text}” in {name}: {verdict.words}, {boxes} at {look.threshold:.2f}"
    st.html(markup(overlay(explanation, row, look), alt))
    asked = answer.query.questions[row].prompt
    against = f" rather than {', '.join(f'“{other}”' for other in explanation.against)}" if explanation.against else ""
    st.caption(plain(f"{boxes} at {look.threshold:.2f} · asked “{asked}”{against}"))


def _compare(answer: Answer, look: Look) -> None:
    rows = list(range(len(answer.query.questions)))
    methods = list(range(len(answer.explanations)))
    pick_text, pick_first, pick_second = st.columns(3, gap="medium")

    def name_of(index: int) -> str:
        return answer.explanations[index].method

    row = pick_text.selectbox("Text", rows, format_func=lambda i: answer.query.questions[i].text, key="compared text")
    one = pick_first.selectbox("One method", methods, format_func=name_of, key="first")
    other = pick_second.selectbox("Another", methods, index=1, format_func=name_of, key="second")
    first, second = answer.explanations[one], answer.explanations[other]
    left, right, between = st.columns(3, gap="medium")
    with left:
        _panel(answer, one, row, look)
    with right:
        _panel(answer, other, row, look)
    with between:
        st.markdown("**Difference**")
        st.html(markup(difference(first, second, row), f"Where {first.method} and {second.method} differ"))
        st.caption(":red[red]: hotter for the first · :blue[blue]: for the second")
    found = agreement(first, second, row, look.threshold)
    maps, boxes, peaks = st.columns(3, gap="medium")
    maps.metric(
        "Maps agree", "–" if found.correlation is None else f"{found.correlation:+.2f}",
        help="Correlation of the two heat maps: 1 is the same shape, 0 unrelated, −1 opposite.",
    )  # fmt: skip
    boxes.metric(
        "Boxes overlap", "–" if found.box_iou is None else f"{found.box_iou:.0%}",
        help="Intersection over union of the largest boxes.",
    )  # fmt: skip
    peaks.metric(
        "Distance of the hottest spots", "–" if found.peak_distance is None else f"{found.peak_distance:.0%}",
        help="As a fraction of the picture's diagonal.",
    )  # fmt: skip


def _files(answer: Answer, look: Look) -> None:
    """Files are made when one is asked for, here, so that whatever goes wrong is told."""
    chosen = st.segmented_control("Save as", KINDS, format_func=lambda kind: kind.title, key="save as")
    if chosen is not None:
        with st.spinner(f"Making the {chosen.title}"), guarded():
            st.download_button(
                f"Download {chosen.title}", chosen.make(answer, look), f"{file_stem(answer)}.{chosen.ending}",
                chosen.media_type, icon=":material/download:", key=f"download {chosen.ending}", on_click="ignore",
            )  # fmt: skip
    methods = "; ".join(f"{each.provided.spec.summary.rstrip('.')} ({each.label})" for each in answer.methods)
    model = f"{answer.query.encoder} ({answer.weights})"
    cost = f"{answer.passes:,} passes through the model" if answer.passes else "no new pass through the model"
    st.caption(plain(f"{model}: {cost}, {duration(answer.seconds)}. {methods}."))
