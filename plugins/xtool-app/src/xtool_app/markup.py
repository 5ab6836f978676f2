"""Pieces of HTML for the page: pictures with alternative texts, evidence bars, the colour bar.

Whatever a visitor typed is escaped here. Colours come as custom properties; ``shell/style.css`` says what a light and
a dark page make of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from io import BytesIO

from PIL import Image

from xtool.paint.embed import data_uri
from xtool.paint.verdicts import Verdict
from xtool.paint.words import largest_relevance, runs, signed
from xtool.plugin import Word
from xtool_app.drawing import Look, colour_stops
from xtool_app.evidence import EvidenceBar

__all__ = ["colour_bar", "evidence_row", "picture", "verdict_badge", "word_strip"]


def picture(image: Image.Image, alt: str, kind: str = "large") -> str:
    """An image with its alternative text, of a height that the style sheet caps; ``kind``: ``large`` or ``small``."""
    stream = BytesIO()
    image.save(stream, "JPEG", quality=90)
    source = data_uri(stream.getvalue(), "image/jpeg")
    return f'<img class="xt-picture xt-{kind}" src="{source}" alt="{escape(alt)}">'


def verdict_badge(verdict: Verdict) -> str:
    """The verdict's words in its colour."""
    return f'<span class="xt-verdict" style="--xt-colour: {verdict.colour}">{escape(verdict.words)}</span>'


def evidence_row(text: str, taken_for: str, bar: EvidenceBar | None, verdict: Verdict) -> str:
    """A line: the text and what it was taken for, its evidence as a bar, and the verdict in words."""
    told = f'<span class="xt-taken">{escape(taken_for)}</span>' if taken_for else ""
    drawn, number = ("<span></span>", "") if bar is None else (_bar(bar, verdict), f"{bar.score:+.3f}")
    return (
        f'<div class="xt-row"><span class="xt-text">{escape(text)}{told}</span>{drawn}'
        f'<span class="xt-score">{number}</span>{verdict_badge(verdict)}</div>'
    )


def word_strip(text: str, row: int, words: Sequence[Sequence[Word]]) -> str:
    """The words of the text of a row, each over its number, in colours as strong as it is among all the ``words``."""
    largest = largest_relevance(words)
    told = "".join(_word(word, sign, largest) for word, sign in runs(text, words[row]))
    note = "What the match of picture and text loses without the word: + speaks for the text here, − against it."
    return f'<div class="xt-words"><b>Which words mattered</b>{told}<p>{note}</p></div>'


def colour_bar(look: Look) -> str:
    """The colours from 0 to the maximum, and where boxes are cut."""
    stops = ", ".join(f"rgba({red}, {green}, {blue}, {alpha:.2f})" for red, green, blue, alpha in colour_stops(look))
    return (
        f'<div class="xt-scale" role="img" aria-label="Colours from 0 to the maximum; boxes at {look.threshold:.2f}">'
        f'<div class="xt-colours" style="background-image: linear-gradient(to right, {stops})">'
        f'<i style="left: {look.threshold:.1%}"></i></div>'
        f"<span>0</span><span>boxes at {look.threshold:.2f}</span><span>maximum</span></div>"
    )


def _word(word: Word | None, sign: str, largest: float) -> str:
    if word is None:
        return f"<span>{escape(sign)}</span>"
    side = "for" if word.relevance > 0 else "against"
    strength = abs(word.relevance) / largest if largest else 0.0
    behind = f'<span class="xt-sign">{escape(sign)}</span>' if sign else ""
    return (
        f'<span class="xt-word xt-{side}" style="--xt-strength: {strength:.0%}"><i>{escape(word.word)}</i>'
        f"<small>{signed(word.relevance, largest)}</small></span>{behind}"
    )


def _bar(bar: EvidenceBar, verdict: Verdict) -> str:
    left, right = sorted((bar.start, bar.end))
    band, told = "", ""
    if bar.band is not None:
        low, high = bar.band
        band = f'<i class="xt-band" {_span(low, high)} title="unsure"></i>'
        told = ", with the band of doubt"
    return (
        f'<span class="xt-bar" role="img" aria-label="evidence {bar.score:+.3f}{told}" '
        f'style="--xt-colour: {verdict.colour}"><i class="xt-fill" {_span(left, right)}></i>{band}'
        f'<i class="xt-zero" style="left: {bar.start:.1%}"></i></span>'
    )


def _span(left: float, right: float) -> str:
    return f'style="left: {left:.1%}; width: {right - left:.1%}"'
