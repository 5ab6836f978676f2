"""The page: at the left what is asked, at the right the answer. On a phone the answer comes below, scrolled to."""

from __future__ import annotations

from pathlib import Path

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from xtool.plugin import DEFAULT_TEMPLATES, FITS, UsageError
from xtool_app.drawing import resized
from xtool_app.encoders import offered_encoders, warning_about
from xtool_app.markup import picture as markup
from xtool_app.models import models
from xtool_app.pictures import MAX_MEGABYTES, PHOTOGRAPHS, Picture, examples, open_example, open_upload
from xtool_app.search import Query, Search
from xtool_app.shell.answer import show_answer
from xtool_app.shell.guard import guarded
from xtool_app.shell.options import choose_methods
from xtool_app.shell.running import scroll_to_answer, show_search
from xtool_app.visitors import visitors
from xtool_app.wording import lines, plain, questions

STYLE = Path(__file__).with_name("style.css")
EXAMPLES, UPLOAD = "Examples", "My own picture"
SMALL_SIDE = 360


def show_page() -> None:
    """Draw everything."""
    st.set_page_config(page_title="xtool: where does the model look?", page_icon="🔎", layout="wide")
    st.html(STYLE)
    visitors().came(_session())
    with guarded():
        _show()


def _show() -> None:
    st.title("Where does the model look?")
    left, right = st.columns([4, 8], gap="large")
    with left:
        picture, suggestion, key = _choose_picture()
        typed, clicked = _ask_for_texts(suggestion, key)
        query, missing = _choose_how(picture, typed)
    first = "opened" not in st.session_state
    st.session_state["opened"] = True
    if query is not None and (clicked or (first and key != "upload")):
        st.session_state.pop("answer", None)
        search = st.session_state["search"] = Search(query, models()).start()
        visitors().searches(_session(), search)
        st.session_state["scroll"] = clicked
        st.rerun()
    with right, st.container(key="answer"):
        scroll_to_answer()
        # Emptied first: what an earlier run drew there would stay, faded, between what this one draws.
        place = st.empty()
        place.empty()
        with place.container():
            if missing and not _busy():
                (st.error if clicked else st.info)(missing, icon=":material/edit:")
            show_search(picture)
            show_answer(picture, query)


def _choose_picture() -> tuple[Picture | None, str, str]:
    """The picture, texts worth asking of it, and a key that changes with it."""
    offered = examples()
    source = EXAMPLES if offered else UPLOAD
    if offered:
        # Clicking the chosen one again gives None, which changes nothing.
        source = (
            st.segmented_control(
                "Where from", [EXAMPLES, UPLOAD], default=EXAMPLES, key="source", label_visibility="collapsed"
            )
            or EXAMPLES
        )
    if source == EXAMPLES:
        example = st.selectbox(
            "Example", offered, format_func=lambda e: e.title, key="example", label_visibility="collapsed"
        )
        picture = open_example(example)
        _thumbnail(picture)
        return picture, "\n".join(example.texts), f"example {example.dataset} {example.index}"
    uploaded = st.file_uploader(
        "A photo, up to " + f"{MAX_MEGABYTES} MB",
        key="upload",
        help="It stays in the memory of this server and is not written to disk.",
    )
    if uploaded is None:
        return None, "", "upload"
    with guarded():
        picture = open_upload(uploaded.getvalue(), uploaded.name)
        _thumbnail(picture)
        if picture.image.size != picture.full_size:
            st.caption(
                f"{picture.full_size[0]} × {picture.full_size[1]} pixels, searched at "
                f"{picture.image.width} × {picture.image.height}; boxes in files are in full-size pixels."
            )
        return picture, "", "upload"
    return None, "", "upload"


def _thumbnail(picture: Picture) -> None:
    st.html(markup(resized(picture.image, SMALL_SIDE), f"The picture to search: {picture.name}", "small"))


def _ask_for_texts(suggestion: str, key: str) -> tuple[str, bool]:
    """What is typed, and whether it was just sent off: by the button, or by Ctrl+Enter inside of the text."""
    with st.form("texts", border=False):
        typed = st.text_area(
            "What to look for, one thing per line",
            value=suggestion,
            height=100,
            key=f"texts of {key}",
            placeholder="dog\na red car",
            help="A name, or a whole caption. Also try something that is not in the picture.",
        )
        clicked = st.form_submit_button(
            "Find it!", type="primary", icon=":material/search:", width="stretch", disabled=_busy()
        )
    return typed, clicked


def _choose_how(picture: Picture | None, typed: str) -> tuple[Query | None, str]:
    """The query, or ``None`` and what is missing."""
    shows = PHOTOGRAPHS if picture is None else picture.shows
    # A choice of its own for each kind of picture: what knows photographs is of no use for drawings.
    encoder = st.selectbox(
        "Model",
        offered_encoders(shows),
        format_func=lambda choice: choice.label,
        key=f"encoder for {shows}",
        help="What it knows, its size in millions of weights, and whether they are here, on this computer, or are "
        "downloaded when it is first used.",
    )
    if warning := warning_about(encoder, shows):
        st.error(plain(warning), icon=":material/warning:")
    methods = choose_methods(encoder.name, max(1, len(typed.split("\n"))))
    with st.expander("Contrast, words, prompts and cropping"):
        against = st.text_area(
            "Rather than, one thing per line",
            height=70,
            key="against",
            placeholder="a cat\ngrass",
            help="The maps then show where the picture is like your text rather than like these. Verdicts stay.",
        )
        words = st.toggle(
            "Show which words mattered",
            value=True,
            key="words",
            help="The model reads a text of several words again without each of them, which costs little.",
        )
        as_typed = st.toggle(
            "Ask my words exactly as typed",
            key="as typed",
            help="Otherwise a bare name such as “dog” is asked as “an image of a dog.”, as in captions.",
        )
        fit = st.radio(
            "How the picture fills the model's square input",
            FITS,
            key="fit",
            horizontal=True,
            help="squash and pad keep the whole picture; crop shows the model only the centre.",
        )
    if picture is None:
        return None, "Upload a picture to begin."
    if methods is None:
        return None, "Choose at least one method."
    templates = None if as_typed else DEFAULT_TEMPLATES
    try:
        asked = questions(typed, templates)
    except UsageError as error:
        return None, plain(str(error))
    return Query(
        picture=picture,
        questions=asked,
        encoder=encoder.name,
        methods=methods,
        fit=fit,
        against=tuple(lines(against)),
        templates=templates,
        words=words,
    ), ""


def _busy() -> bool:
    search = st.session_state.get("search")
    return search is not None and search.active


def _session() -> str:
    context = get_script_run_ctx()
    return "" if context is None else context.session_id
