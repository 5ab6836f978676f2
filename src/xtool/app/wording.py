"""What people type, and what the page tells them."""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from dataclasses import dataclass

from xtool.engine.prompts import DEFAULT_TEMPLATES
from xtool.errors import UsageError
from xtool.explanation import Explanation

__all__ = ["MAX_TEXTS", "Question", "Verdict", "box_count", "duration", "plain", "questions", "verdict"]

MAX_TEXTS = 12
MAX_LENGTH = 300

_ARTICLE = re.compile(r"(a|an|the|there|this)\s", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Question:
    """A text as typed, and the prompt that the model reads."""

    text: str
    prompt: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a method finds a text in the picture."""

    found: bool | None
    """``None`` from methods that cannot tell."""
    words: str


def questions(typed: str, *, as_typed: bool = False) -> tuple[Question, ...]:
    """One question per line that is not empty, each text once.

    A bare name becomes a prompt (``"dog"`` → ``"an image of a dog."``), as models learnt from captions; what already
    reads like a caption (it starts with an article or ends with a full stop) is left as it is.

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
    return tuple(Question(text, text if as_typed else _prompt(text)) for text in texts)


def verdict(explanation: Explanation, row: int) -> Verdict:
    """The method's verdict on one text."""
    if explanation.present is None:
        return Verdict(None, "cannot say whether it is there")
    if explanation.present[row]:
        return Verdict(True, "finds it")
    return Verdict(False, "says it is not there")


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


def _prompt(text: str) -> str:
    if text.endswith((".", "!", "?")) or _ARTICLE.match(text):
        return text
    return DEFAULT_TEMPLATES[0].replace("{label}", text)
