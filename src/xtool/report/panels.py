"""An image with heat map and boxes as inline SVG: photograph and heat are small pictures, boxes stay sharp lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xtool.paint.embed import heat_uri
from xtool.paint.panel import EMPTY

if TYPE_CHECKING:
    from xtool.runs.run import Run
    from xtool.store.records import Record

__all__ = ["Panel", "panel"]


@dataclass(frozen=True, slots=True)
class Panel:
    """What the template draws. Boxes are (x, y, width, height) in pixels of the image."""

    key: str
    """Names the photograph in the page, which contains each one once."""
    width: int
    height: int
    heat: str
    """Data URI; empty for a map that is zero everywhere."""
    empty: str
    """What the picture says instead of showing heat."""
    faded: bool
    """Whether boxes are pale, because they mark nothing that was found; the heat is so in itself."""
    predicted: tuple[tuple[float, ...], ...]
    truth: tuple[tuple[float, ...], ...]


def panel(run: Run, record: Record, threshold: float, key: str) -> Panel:
    """One method's heat map on one image, with the boxes that are scored at a threshold."""
    width, height = record.image_size
    heat = run.image_map(record).full
    verdict = run.verdict(record)
    return Panel(
        key=key,
        width=width,
        height=height,
        heat=heat_uri(heat, faded=verdict.faded) if heat.any() else "",
        empty="" if heat.any() else EMPTY,
        faded=verdict.faded,
        predicted=_sides(run.boxes(record, threshold).tolist()),
        truth=_sides(record.true_boxes),
    )


def _sides(boxes: Sequence[Sequence[float]]) -> tuple[tuple[float, ...], ...]:
    return tuple((x0, y0, x1 - x0, y1 - y0) for x0, y0, x1, y1 in boxes)
