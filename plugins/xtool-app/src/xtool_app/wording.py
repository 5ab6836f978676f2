"""What people type, and what the page tells them."""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass

from xtool.plugin import DEFAULT_TEMPLATES, UsageError, prompts_for

__all__ = ["MAX_TEXTS", "Question", "box_count", "duration", "plain", "questions"]

MAX_TEXTS = 12
MAX_LENGTH = 300


@dataclass(frozen=True, slots=True)
class Question:
    """A text as typed, and the prompt that the model reads."""

    text: str
    prompt: str


def questions(typed: str, *, as_typed: bool = False) -> tuple[Question, ...]:
    """One question per line that is not empty, each text once.

    A bare name becomes a prompt by the rule of :func:`xtool.engine.prompts.prompts_for`, unless ``as_typed``.

    Raises:
        UsageError: nothing typed, too many texts or a text too long.
    """
    texts = list(dict.fromkeys(line.strip() for line in typed.splitlines() if line.strip()))
    if not texts:
        raise UsageError("Write what to look for: one thing per line, for example: dog")
    if len(texts) > MAX_TEXTS:
        raise UsageError(f"{len(texts)} texts are more than the {MAX_TEXTS} that fit on the page")
    if any(len(text) > MAX_LENGTH for text in texts):
        raise UsageError(f"A text is longer than {MAX_LENGTH} characters; models read only the first few dozen words")
    return tuple(Question(text, prompts_for(text, None if as_typed else DEFAULT_TEMPLATES)[0]) for text in texts)


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
