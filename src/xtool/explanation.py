"""What :func:`xtool.explain` returns: maps, boxes and verdicts, which show themselves in a notebook."""

from __future__ import annotations

import html
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from xtool.errors import RunError
from xtool.metrics.box_rules import box_rule
from xtool.paint.embed import data_uri
from xtool.paint.heat import COLOUR_MAP
from xtool.paint.panel import MapPanel
from xtool.paint.save import ENDINGS, check_target, figure_png, save_figure
from xtool.paint.verdicts import Verdict
from xtool.paint.words import words_note

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from xtool.contracts.protocols import Calibration, Understanding
    from xtool.engine.words import Word

__all__ = [
    "FILE_ENDINGS",
    "TEXT_BLIND",
    "Explanation",
    "Explanations",
    "Threshold",
    "caption",
    "notes_of",
]

Threshold = float | str | None
"""How boxes are made: a fraction of a map's maximum, a rule (:mod:`xtool.metrics.box_rules`), or ``None`` for the
fraction that suits the method."""

TEXT_BLIND = 0.05
"""Below this specificity a note says that the map hardly depends on the text."""

FILE_ENDINGS = (*ENDINGS, ".npy")
"""What an explanation can be saved as: figures, and the maps themselves."""


class _Shown:
    """What one explanation and several have in common: they are one figure."""

    __slots__ = ()

    def _all(self) -> Sequence[Explanation]:
        raise NotImplementedError

    def _maps(self) -> NDArray[np.float32]:
        raise NotImplementedError

    def figure(self, threshold: Threshold = None, colour_map: str = COLOUR_MAP) -> Figure:
        """A matplotlib figure: a row per text, a column per method, with the :meth:`boxes` of ``threshold``."""
        from xtool.paint.figure import maps_figure

        shown = self._all()
        panels = [explanation.panels(threshold) for explanation in shown]
        fractions = {_fraction(explanation.rule_of(threshold)) for explanation in shown}
        words_by = shown[0].words_by
        told = [caption(shown, threshold), *([] if words_by is None else [words_note(words_by)]), *notes_of(shown)]
        return maps_figure(
            shown[0].image,
            shown[0].texts,
            [list(row) for row in zip(*panels, strict=True)],
            note=". ".join(note.rstrip(".") for note in told),
            taken_for=["" if found is None else found.brief() for found in shown[0].understood],
            words=shown[0].words,
            threshold=fractions.pop() if len(fractions) == 1 else None,
            colour_map=colour_map,
        )

    def show(self, threshold: Threshold = None, colour_map: str = COLOUR_MAP) -> None:
        """Show the figure: in the notebook, or in the system's image viewer."""
        png = figure_png(self.figure(threshold, colour_map))
        notebook = sys.modules.get("IPython")
        if notebook is not None and notebook.get_ipython() is not None:
            notebook.display.display(notebook.display.Image(png))
        else:
            Image.open(BytesIO(png)).show()

    def save(self, path: str | Path, threshold: Threshold = None, colour_map: str = COLOUR_MAP) -> Path:
        """Write the figure (.png, .svg, .pdf, .jpg, .webp), or the maps as a NumPy array (.npy).

        Raises:
            UsageError: another ending.
            RunError: the file cannot be written.
        """
        path = check_target(path, FILE_ENDINGS)
        if path.suffix.lower() != ".npy":
            return save_figure(self.figure(threshold, colour_map), path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, self._maps())
        except OSError as error:
            raise RunError(f"{path} cannot be written: {error.strerror or error}") from error
        return path

    def _repr_png_(self) -> bytes:
        return figure_png(self.figure())

    def _repr_html_(self) -> str:
        told = html.escape("; ".join(repr(explanation) for explanation in self._all()))
        return f'<img src="{data_uri(self._repr_png_(), "image/png")}" alt="{told}" style="max-width: 100%">'


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class Explanation(_Shown):
    """One method's answer for one image and T texts. A notebook shows it as a figure."""

    image: Image.Image
    """The image, RGB and upright."""
    texts: tuple[str, ...]
    """As they were given."""
    prompts: tuple[tuple[str, ...], ...]
    """[T] what the model read for each text; the mean of several."""
    understood: tuple[Understanding | None, ...]
    """[T] what the encoder took each text for, or that it does not know it; ``None`` from one that cannot say."""
    method: str
    encoder: str
    maps: NDArray[np.float32]
    """[T, H, W] at image resolution, each scaled to [0, 1]; all zero where the method sees nothing."""
    present: NDArray[np.bool_] | None
    """[T]: whether the method finds the text in the image at all; ``None`` from methods that cannot tell."""
    scores: NDArray[np.float32] | None
    """[T]: the evidence behind ``present``; ``None`` from methods that have none."""
    calibration: Calibration | None
    """What ``present`` and ``verdicts`` go by; ``None`` where the method's own rule decides."""
    seconds: float
    forwards: int
    """Images through the encoder."""
    box_threshold: float = 0.15
    """The fraction of the maximum at which this method's boxes are drawn by default."""
    against: tuple[str, ...] = ()
    """Background texts that the maps are compared with."""
    specificity: NDArray[np.float32] | None = None
    """[T] one minus the highest correlation of the map with that of an absent or a meaningless text: near 0 where any
    text gives the same map. NaN where that is unknown; ``None`` where it would have taken many more passes."""
    words: tuple[tuple[Word, ...], ...] | None = None
    """[T] the words of each text, with what each did for or against the text in this image; ``None`` if not asked."""
    words_by: str | None = None
    """By which method."""
    notes: tuple[str, ...] = ()
    """What people should know before they trust the answer, one sentence each."""

    def __repr__(self) -> str:
        width, height = self.image.size
        told = ", ".join(f"{text!r} {verdict.words}" for text, verdict in zip(self.texts, self.verdicts, strict=True))
        return f"<Explanation of a {width}×{height} image by {self.method}, {self.encoder}: {told}>"

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """[T] whether each text is there; ``verdict.words`` says it in words."""
        return tuple(self._verdict(i) for i in range(len(self.texts)))

    def _verdict(self, i: int) -> Verdict:
        understood = self.understood[i]
        if understood is not None and not understood.known:
            return Verdict.NOT_UNDERSTOOD
        if self.calibration is not None and self.scores is not None and self.calibration.unsure(float(self.scores[i])):
            return Verdict.UNSURE
        return Verdict.of(None if self.present is None else bool(self.present[i]))

    def boxes(self, threshold: Threshold = None) -> list[NDArray[np.int64]]:
        """For each text, half-open boxes [N, 4] (x0, y0, x1, y1).

        Args:
            threshold: the fraction of the map's maximum that they surround, a rule such as ``"otsu"`` or ``"mean"``
                (:mod:`xtool.metrics.box_rules` has them all), or ``None`` for the fraction that suits the method.

        Raises:
            UsageError: a fraction outside of [0, 1), or an unknown rule.
        """
        found = box_rule(self.rule_of(threshold))
        return [found(heat) for heat in self.maps]

    def rule_of(self, threshold: Threshold = None) -> str:
        """The rule that :meth:`boxes` takes, by its name."""
        return str(self.box_threshold if threshold is None else threshold)

    def panels(self, threshold: Threshold = None) -> list[MapPanel]:
        """For each text, what is drawn over the image."""
        return [
            MapPanel(heat=heat, boxes=found, title=self.method, verdict=verdict)
            for heat, found, verdict in zip(self.maps, self.boxes(threshold), self.verdicts, strict=True)
        ]

    def as_json(self, threshold: Threshold = None) -> dict[str, Any]:
        """Boxes and verdicts, for machines."""
        found = self.boxes(threshold)
        return {
            "method": self.method,
            "encoder": self.encoder,
            "boxes": self.rule_of(threshold),
            "threshold": _fraction(self.rule_of(threshold)),
            "against": list(self.against),
            "words_by": self.words_by,
            "notes": list(self.notes),
            "seconds": self.seconds,
            "forwards": self.forwards,
            "texts": [
                {
                    "text": text,
                    "prompts": list(self.prompts[i]),
                    "understood": None if (understood := self.understood[i]) is None else asdict(understood),
                    "present": None if self.present is None else bool(self.present[i]),
                    "verdict": self.verdicts[i].words,
                    "score": None if self.scores is None else float(self.scores[i]),
                    "specificity": None if self.specificity is None else _number(self.specificity[i]),
                    "words": None if self.words is None else [asdict(word) for word in self.words[i]],
                    "boxes": found[i].tolist(),
                }
                for i, text in enumerate(self.texts)
            ],
        }

    def _all(self) -> Sequence[Explanation]:
        return (self,)

    def _maps(self) -> NDArray[np.float32]:
        return self.maps


class Explanations(list[Explanation], _Shown):
    """Several methods' answers for one image and the same texts: a list, which a notebook shows as one figure."""

    def _all(self) -> Sequence[Explanation]:
        return self

    def _maps(self) -> NDArray[np.float32]:
        """[M, T, H, W]."""
        return np.stack([explanation.maps for explanation in self])


def caption(explanations: Sequence[Explanation], threshold: Threshold = None) -> str:
    """Which encoder, how the boxes are made, and what the maps are compared with."""
    told = f"{explanations[0].encoder}, {_boxes_in_words(explanations, threshold)}"
    against = explanations[0].against
    return f"{told}, against {', '.join(against)}" if against else told


def notes_of(explanations: Sequence[Explanation]) -> list[str]:
    """The notes of all, each once."""
    return list(dict.fromkeys(note for explanation in explanations for note in explanation.notes))


def _boxes_in_words(explanations: Sequence[Explanation], rule: Threshold = None) -> str:
    """How the boxes of an answer are made: one rule for all methods, or each with its own."""
    told = {explanation.method: _in_words(explanation.rule_of(rule)) for explanation in explanations}
    if len(set(told.values())) == 1:
        return f"boxes {next(iter(told.values()))}"
    return "boxes " + ", ".join(f"{words} ({method})" for method, words in told.items())


def _in_words(rule: str) -> str:
    fraction = _fraction(rule)
    return f"by {rule}" if fraction is None else f"at {fraction:g} of the maximum"


def _fraction(rule: str) -> float | None:
    """The fraction of the maximum that a rule takes; ``None`` for one that looks at each map."""
    try:
        return float(rule.removeprefix("max-fraction="))
    except ValueError:
        return None


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
