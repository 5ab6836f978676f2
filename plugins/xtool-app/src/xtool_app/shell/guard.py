"""No traceback ever reaches the page."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from xtool.plugin import XtoolError
from xtool_app.search import UNEXPECTED
from xtool_app.wording import page_words, plain

log = logging.getLogger(__name__)


@contextmanager
def guarded() -> Iterator[None]:
    """Show what goes wrong inside as a message. Streamlit's own signals (stop, rerun) pass through."""
    try:
        yield
    except XtoolError as error:
        show_error(page_words(str(error)))
    except Exception:
        log.exception("the page failed")
        show_error(UNEXPECTED)


def show_error(message: str) -> None:
    """One message, letter for letter, lines kept."""
    st.error("  \n".join(plain(line) for line in message.splitlines()), icon=":material/error:")
