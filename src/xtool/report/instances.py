"""Counting instances: the boxes of recorded maps against the true boxes, one to one.

Localization accuracy is content with one good box. Where an image shows several instances, what counts is as many
boxes, each on its own instance. Boxes are made at the row's threshold; nothing is explained again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from xtool.metrics.counting import count_error, f1, matches
from xtool.report.cases import MethodCases, run_cases
from xtool.report.maps import heat_of, predicted_boxes

if TYPE_CHECKING:
    from xtool.runs.run import Run

__all__ = ["COLUMNS", "Counts", "count_instances", "counts_as_json", "has_several"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How well one method's boxes count, over the images of a run."""

    method: str
    threshold: float
    images: int
    several: int
    """Images with more than one true box."""
    predicted: int
    truth: int
    """Boxes over all images."""
    count_error: float
    """Mean over images of the unsigned difference of the numbers of boxes."""
    count_error_several: float | None
    """The same over the images with more than one true box."""
    f1: float
    """Over all boxes of the run, in [0, 1]."""
    f1_several: float | None


def has_several(run: Run) -> bool:
    """Whether any image of the run has more than one true box."""
    return any(len(record["true_boxes"]) > 1 for record in run.records if "method" in record)


def count_instances(run: Run, on_image: Callable[[], object] = lambda: None) -> list[Counts]:
    """One result per method; empty where no image has several true boxes. ``on_image`` is called after each map."""
    return [_counts(run, found, on_image) for found in run_cases(run)] if has_several(run) else []


def counts_as_json(counts: list[Counts]) -> list[dict[str, Any]]:
    """For machines; fractions in [0, 1]."""
    return [asdict(item) for item in counts]


def _counts(run: Run, found: MethodCases, on_image: Callable[[], object]) -> Counts:
    errors, matched, predicted, truth = [], [], [], []
    for case in found.cases:
        heat = heat_of(case.record, run.identity)
        boxes, true_boxes = predicted_boxes(heat, found.threshold, run.identity["protocol"]), case.record["true_boxes"]
        errors.append(count_error(boxes, true_boxes))
        matched.append(matches(boxes, true_boxes))
        predicted.append(len(boxes))
        truth.append(len(true_boxes))
        on_image()
    several = np.array(truth) > 1
    any_several = bool(several.any())
    chosen = [np.array(values)[several] for values in (matched, predicted, truth)]
    return Counts(
        method=found.method,
        threshold=found.threshold,
        images=len(found.cases),
        several=int(several.sum()),
        predicted=sum(predicted),
        truth=sum(truth),
        count_error=float(np.mean(errors)),
        count_error_several=float(np.array(errors)[several].mean()) if any_several else None,
        f1=f1(matched, predicted, truth),
        f1_several=f1(*chosen) if any_several else None,
    )


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def _plain(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


COLUMNS: tuple[tuple[str, Callable[[Counts], str]], ...] = (
    ("threshold", lambda item: _plain(item.threshold)),
    ("images", lambda item: f"{item.images:,}"),
    ("with several", lambda item: f"{item.several:,}"),
    ("true boxes", lambda item: f"{item.truth:,}"),
    ("predicted boxes", lambda item: f"{item.predicted:,}"),
    ("count error", lambda item: _plain(item.count_error)),
    ("… where several", lambda item: _plain(item.count_error_several)),
    ("F1 %", lambda item: _percent(item.f1)),
    ("F1 % where several", lambda item: _percent(item.f1_several)),
)
"""Title and text of each column of a table."""
