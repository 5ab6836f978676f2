"""What people type, and what the page says to them."""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from dataclasses import dataclass

from xtool.plugin import DEFAULT_TEMPLATES, Understanding, UsageError, prompts_for

__all__ = [
    "MAX_TEXTS",
    "Question",
    "box_count",
    "duration",
    "lines",
    "page_words",
    "plain",
    "questions",
    "taken_for",
    "titles",
]

MAX_TEXTS = 12
MAX_LENGTH = 300


@dataclass(frozen=True, slots=True)
class Question:
    """A text as typed, and the prompt that the model reads."""

    text: str
    prompt: str


def questions(typed: str, templates: Sequence[str] | None = DEFAULT_TEMPLATES) -> tuple[Question, ...]:
    """One question per line that is not empty, each text once.

    A bare name becomes a prompt by the rule of ``xtool explain``: it goes into the first of the templates, if any.

    Raises:
        UsageError: nothing typed, too many texts or a text too long.
    """
    texts = lines(typed)
    if not texts:
        raise UsageError("Write what to look for: one thing per line, for example: dog")
    if len(texts) > MAX_TEXTS:
        raise UsageError(f"{len(texts)} texts are more than the {MAX_TEXTS} that fit on the page")
    if any(len(text) > MAX_LENGTH for text in texts):
        raise UsageError(f"A text is longer than {MAX_LENGTH} characters; models read only the first few dozen words")
    return tuple(Question(text, prompts_for(text, templates)[0]) for text in texts)


def lines(typed: str) -> list[str]:
    """The lines that are not empty, each once."""
    return list(dict.fromkeys(line.strip() for line in typed.splitlines() if line.strip()))


FLAGS = {
    "--pretrained": "the weights", "--encoder": "the model", "--methods": "the methods", "--template": "the prompt",
    "--text": "the texts", "--set": "the options", "--device": "the device", "--fit": "the cropping",
    "--dtype": "the precision",
}  # fmt: skip
"""Options of the command line, as the page calls the same thing."""


def page_words(message: str) -> str:
    """An error in the words of the page: without flags, and without commands that a visitor has no terminal for."""
    message = re.sub(r"[;,.]?\s*`xtool [^`]*` (lists|shows)[^;.]*", "", message)
    return re.sub(r"--[a-z-]+", lambda flag: FLAGS.get(flag[0], f"the option {flag[0][2:]}"), message)


def taken_for(understood: Understanding | None, shown: int = 3) -> str:
    """What the model took a text for, or why it does not know it; empty from models that read any text."""
    if understood is None:
        return ""
    if not understood.known:
        return f"not understood: {understood.reason}"
    return f"taken for {understood.classes(shown)}" + (", …" if len(understood.nearest) > shown else "")


def box_count(count: int) -> str:
    """``"no box"``, ``"1 box"``, ``"2 boxes"``."""
    return "no box" if count == 0 else "1 box" if count == 1 else f"{count} boxes"


def duration(seconds: float) -> str:
    """Seconds as people say them, rounded to what an estimate is worth."""
    if seconds < 1:
        return "less than a second"
    if seconds < 90:
        return f"{seconds:.0f} seconds" if seconds >= 1.5 else "a second"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.1f} hours"


def plain(text: str) -> str:
    """Text that Streamlit's Markdown shows letter for letter: no markup, link, formula, colour or emoji short code."""
    one_line = " ".join(text.split())
    escaped = "".join(f"\\{letter}" if letter in string.punctuation else letter for letter in one_line)
    # Emoji short codes are found after unescaping; an invisible joiner takes their colon away from the word.
    return escaped.replace("\\:", "\\:\u2060")


def titles(asked: Sequence[Question], limit: int = 28) -> list[str]:
    """Short, escaped titles of tabs."""
    return [plain(q.text if len(q.text) <= limit else q.text[: limit - 1] + "…") for q in asked]
