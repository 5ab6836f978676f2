"""The page from top to bottom: picture, texts, model and methods, the button, the answer."""

from __future__ import annotations

import streamlit as st

from xtool.plugin import FITS
from xtool_app.drawing import resized
from xtool_app.models import models, offered_encoders
from xtool_app.pictures import MAX_MEGABYTES, Picture, examples, open_example, open_upload
from xtool_app.search import Query, Search
from xtool_app.shell.answer import show_answer
from xtool_app.shell.guard import guarded
from xtool_app.shell.options import choose_methods
from xtool_app.shell.running import show_search
from xtool_app.wording import plain, questions

STYLE = """
<style>
  .block-container { padding-top: 3.2rem; padding-bottom: 3rem; max-width: 1180px; }
  h1 { letter-spacing: -0.02em; padding-bottom: 0; }
  [data-testid="stImage"] img { border-radius: 10px; }
</style>
"""

EXAMPLES, UPLOAD = "Example", "My own picture"


def show_page() -> None:
    """Draw everything."""
    st.set_page_config(page_title="xtool: where does the model look?", page_icon="🔎", layout="wide")
    st.markdown(STYLE, unsafe_allow_html=True)  # fixed text of ours; nothing that a visitor typed comes here
    with guarded():
        _show()


def _show() -> None:
    st.title("Where does the model look?")
    st.markdown(
        "Give an image–text model a picture, say what to look for, and see **where it finds it**, and whether at all."
    )
    left, right = st.columns([5, 6], gap="large")
    with left:
        st.subheader("1 · Picture")
        picture, suggestion, key = _choose_picture()
    with right:
        st.subheader("2 · What to look for")
        typed = st.text_area(
            "One thing per line",
            value=suggestion,
            height=110,
            key=f"texts of {key}",
            placeholder="dog\na red car\nan image of a cat.",
            help="A name, or a whole caption. Also try something that is not in the picture.",
        )
        st.subheader("3 · How")
        query = _choose_how(picture, typed)
        clicked = st.button("Find it!", type="primary", icon=":material/search:", width="stretch", disabled=_busy())
    if clicked:
        st.session_state.pop("answer", None)
        if query is not None:
            st.session_state["search"] = Search(query, models()).start()
            st.rerun()
    show_search()
    show_answer(picture)


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
        picture = open_example(example.index)
        st.image(resized(picture.image), width="stretch")
        return picture, "\n".join(example.texts), f"example {example.index}"
    uploaded = st.file_uploader(
        f"A photo or drawing, up to {MAX_MEGABYTES} MB. It stays in this server's memory and is written to no disk.",
        key="upload",
    )
    if uploaded is None:
        return None, "", "upload"
    with guarded():
        picture = open_upload(uploaded.getvalue(), uploaded.name)
        st.image(resized(picture.image), width="stretch")
        if picture.image.size != picture.full_size:
            st.caption(
                f"{picture.full_size[0]} × {picture.full_size[1]} pixels, shown and searched at "
                f"{picture.image.width} × {picture.image.height}; boxes in downloads are in full-size pixels."
            )
        return picture, "", "upload"
    return None, "", "upload"


def _choose_how(picture: Picture | None, typed: str) -> Query | None:
    """The query, or ``None`` after having said what is missing."""
    encoder = st.selectbox(
        "Model",
        offered_encoders(),
        key="encoder",
        help="`xtool encoders` says what each knows, and which need a download when first used.",
    )
    methods = choose_methods(encoder)
    with st.expander("More: prompts and cropping"):
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
    if methods is None:
        return None
    if picture is None:
        if not _busy():
            st.info("Upload a picture to begin.", icon=":material/upload:")
        return None
    with guarded():
        asked = questions(typed, as_typed=as_typed)
        if any(question.text != question.prompt for question in asked):
            st.caption("Asked as: " + " · ".join(f"“{plain(question.prompt)}”" for question in asked))
        return Query(picture=picture, questions=asked, encoder=encoder, methods=methods, fit=fit)
    return None


def _busy() -> bool:
    search = st.session_state.get("search")
    return search is not None and search.active
