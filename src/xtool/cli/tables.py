"""Tables of single commands, for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from xtool.paint.verdicts import Verdict
from xtool.paint.words import AGAINST_SHADES, FOR_SHADES, largest_relevance, runs, signed, words_note
from xtool.runs.columns import show

if TYPE_CHECKING:
    from xtool.contracts.protocols import Understanding
    from xtool.engine.work import Work
    from xtool.explanation import Explanation, Threshold


def profile_table(profile: Work) -> Table:
    """Where the wall time of a run went."""
    from rich import box

    table = Table(box=box.SIMPLE_HEAD, title="Wall time", title_justify="left", caption_justify="left")
    table.add_column("part", style="bold")
    table.add_column("s", justify="right")
    table.add_column("share", justify="right")
    for name, spent in sorted(profile.seconds.items(), key=lambda item: -item[1]):
        table.add_row(name, show(spent, "seconds"), f"{spent / profile.total:.1%}")
    table.caption = f"{profile.outside_tower:.1%} of {profile.total:.1f} s was spent outside the image tower."
    return table


def explanation_table(explanations: Sequence[Explanation], threshold: Threshold = None) -> Table:
    """Verdict and boxes of each text by each method."""
    from rich import box

    from xtool.explanation import caption

    table = Table(box=box.SIMPLE_HEAD, title=Text(caption(explanations, threshold)), title_justify="left")
    for title, justify in (("text", "left"), ("method", "left"), ("verdict", "left"), ("boxes (x0 y0 x1 y1)", "left")):
        table.add_column(title, justify=justify)  # type: ignore[arg-type]
    table.add_column("s", justify="right")
    table.add_column("forwards", justify="right")
    read = [
        prompts[0]
        for text, prompts in zip(explanations[0].texts, explanations[0].prompts, strict=True)
        if prompts != (text,)
    ]
    if read:
        table.caption = Text(f"read as: {', '.join(read)}", style="dim")
        table.caption_justify = "left"
    for i, text in enumerate(explanations[0].texts):
        for explanation in explanations:
            boxes = "\n".join(" ".join(map(str, found)) for found in explanation.boxes(threshold)[i]) or "–"
            verdict = explanation.verdicts[i]
            table.add_row(
                Text(text), Text(explanation.method), Text(verdict.words, style=verdict.terminal), boxes,
                show(explanation.seconds, "seconds"), show(explanation.forwards, "images"),
            )  # fmt: skip
    return table


def understood_lines(understood: Sequence[Understanding | None]) -> list[Text]:
    """What each text was taken for, a line each; none from an encoder that cannot say."""
    style = Verdict.NOT_UNDERSTOOD.terminal
    return [Text(found.message(), style="dim" if found.known else style) for found in understood if found is not None]


def word_lines(explanation: Explanation) -> list[Text | Padding]:
    """Each text with what its words did, a line each, behind one that says what the numbers are; none if not asked."""
    if explanation.words is None or explanation.words_by is None:
        return []
    largest = largest_relevance(explanation.words)
    lines: list[Text | Padding] = [Text(words_note(explanation.words_by), style="dim")]
    for text, words in zip(explanation.texts, explanation.words, strict=True):
        line = Text()
        for word, sign in runs(text, words):
            if word is not None:
                line.append(f" {word.word} ", style=_word_style(word.relevance, largest))
                line.append(signed(word.relevance, largest))
            line.append(f"{sign}  ")
        lines.append(Padding.indent(line, 2))
    return lines


def _word_style(relevance: float, largest: float) -> str:
    """Filled for strong words, coloured letters for weaker ones, plain for nothing; for light and dark terminals."""
    strength = abs(relevance) / largest if largest else 0.0
    fill, letters = FOR_SHADES if relevance > 0 else AGAINST_SHADES
    if strength >= 0.5:
        return f"black on {fill}"
    return f"bold {letters}" if strength >= 0.1 else ""
