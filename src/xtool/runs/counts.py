"""Counting instances: the boxes of recorded maps against the true boxes, one to one.

Localization accuracy is satisfied by one good box. Where an image shows several instances, what counts is as many
boxes, each on its own instance. Boxes are those that are scored at the row's threshold; nothing is explained again.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.table import Table
from rich.text import Text

from xtool.metrics.counting import count_error, f1, matches

if TYPE_CHECKING:
    from xtool.runs.run import Run
    from xtool.store.records import Record

__all__ = ["COLUMNS", "Counts", "count_instances", "counts_as_json", "counts_table"]


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
    """Mean over images of the absolute difference of the numbers of boxes."""
    count_error_several: float | None
    """The same over the images with more than one true box."""
    f1: float
    """Over all boxes of the run, in [0, 1]."""
    f1_several: float | None


def count_instances(run: Run, on_map: Callable[[], object] = lambda: None) -> list[Counts]:
    """One result per method; empty where no image has several true boxes. ``on_map`` is called after each map.

    Raises :class:`RunError` for a run that keeps no maps.
    """
    if not any(result.several for result in run.results):
        return []
    thresholds = {result.method: result.threshold for result in run.results}
    tallies = {method: array("q") for method in thresholds}
    for record in run.records():
        tallies[record.method].extend(_tally(run, record, thresholds[record.method]))
        on_map()
    return [
        _counts(method, thresholds[method], np.frombuffer(found, np.int64).reshape(-1, 4))
        for method, found in tallies.items()
    ]


def counts_as_json(counts: list[Counts]) -> list[dict[str, Any]]:
    """For machines; fractions in [0, 1]."""
    return [asdict(item) for item in counts]


_Tally = tuple[int, int, int, int]
"""Of one image: count error, matches, predicted boxes, true boxes."""


def _tally(run: Run, record: Record, threshold: float) -> _Tally:
    boxes, truth = run.boxes(record, threshold), record.true_boxes
    return count_error(boxes, truth), matches(boxes, truth), len(boxes), len(truth)


def _counts(method: str, threshold: float, tallies: NDArray[np.int64]) -> Counts:
    several = tallies[tallies[:, 3] > 1]
    return Counts(
        method=method,
        threshold=threshold,
        images=len(tallies),
        several=len(several),
        predicted=int(tallies[:, 2].sum()),
        truth=int(tallies[:, 3].sum()),
        count_error=float(tallies[:, 0].mean()),
        count_error_several=float(several[:, 0].mean()) if len(several) else None,
        f1=f1(*tallies[:, 1:].T),
        f1_several=f1(*several[:, 1:].T) if len(several) else None,
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


def counts_table(run: Run) -> Table:
    """How well the boxes of each method count instances."""
    title = f"Counting instances: {run.identity.encoder.name} on {run.identity.dataset.name}"
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", caption_justify="left")
    table.add_column("method", style="bold", overflow="fold", min_width=8)
    for name, _ in COLUMNS:
        table.add_column(name, justify="right")
    for item in count_instances(run):
        table.add_row(Text(item.method), *(show(item) for _, show in COLUMNS))
    table.caption = (
        "Count error: mean absolute difference of the numbers of boxes, lower is better. "
        "F1: boxes matched one to one at IoU ≥ 0.5."
        if table.rows
        else "No image has several true boxes."
    )
    return table
