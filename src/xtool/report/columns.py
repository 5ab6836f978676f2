"""The columns of a comparison: what each is called, how it is read, printed and compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xtool.metrics.causal import DELETION, INSERTION
from xtool.metrics.metric import MetricInfo
from xtool.metrics.pointing import INFO as POINTING
from xtool.metrics.presence import ACCURACY, AUROC
from xtool.metrics.pxap import PxAP
from xtool.metrics.topk import INFOS as TOPK

if TYPE_CHECKING:
    from xtool.runs.summary import Row

__all__ = ["COLUMNS", "FULL_COLUMNS", "Column", "best_of", "count", "is_best", "percent", "seconds"]

GT_KNOWN, TOP1, TOP5 = TOPK
BOX_IOU = MetricInfo(
    name="box_iou",
    unit="fraction",
    direction="higher",
    summary="Mean over images of the best IoU of any predicted with any true box, at the row's threshold.",
)
SWAPPED = MetricInfo(
    name="swapped",
    unit="fraction",
    direction="lower",
    summary="GT-known when the map is made for another thing in the image; low where the text matters.",
)
SECONDS = MetricInfo(
    name="seconds_per_image", unit="seconds", direction="lower", summary="Median time of one map, shared work included."
)
FORWARDS = MetricInfo(
    name="forwards_per_image", unit="count", direction="lower", summary="Images through the encoder for one map."
)


@dataclass(frozen=True, slots=True)
class Column:
    """One number of a row: how it is called, read and compared."""

    title: str
    """For a page, which has room."""
    heading: str
    """For a terminal: as narrow as its numbers, so that the whole table fits 80 columns."""
    value: Callable[[Row], float | None]
    show: Callable[[float], str]
    best: Callable[[list[float]], float] | None = None
    """``max`` or ``min`` where one direction is better and the best is marked."""
    info: MetricInfo | None = None
    """``None`` for what is a setting and no metric."""


def percent(value: float) -> str:
    return f"{100 * value:.1f}"


def score(value: float) -> str:
    return f"{value:.3f}"


def seconds(value: float) -> str:
    return f"{value:.3f}" if value < 10 else f"{value:.1f}"


def count(value: float) -> str:
    return f"{value:,.0f}"


COLUMNS = (
    Column("threshold", "thres-\nhold", lambda row: row.threshold, lambda value: f"{value:.2f}"),
    Column("box IoU %", "box\nIoU %", lambda row: row.box_iou, percent, max, BOX_IOU),
    Column("GT-known %", "GT-\nknown", lambda row: row.gt_known, percent, max, GT_KNOWN),
    Column("Top-1 %", "Top-1\n%", lambda row: row.top1, percent, max, TOP1),
    Column("Top-5 %", "Top-5\n%", lambda row: row.top5, percent, max, TOP5),
    Column("pointing %", "point-\ning %", lambda row: row.pointing, percent, max, POINTING),
    Column("presence %", "pres-\nence %", lambda row: row.presence, percent, max, ACCURACY),
    Column("swapped %", "swap-\nped %", lambda row: row.swapped, percent, None, SWAPPED),
    Column("PxAP %", "PxAP\n%", lambda row: row.pxap, percent, max, PxAP.info),
    Column("insertion", "inser-\ntion", lambda row: row.insertion, score, max, INSERTION),
    Column("deletion", "dele-\ntion", lambda row: row.deletion, score, min, DELETION),
    Column("s/image", "s per\nimage", lambda row: row.seconds_per_image, seconds, min, SECONDS),
    Column("forwards", "for-\nwards", lambda row: row.forwards_per_image, count, min, FORWARDS),
)
"""What fits a terminal."""

_AUROC = Column("presence AUROC %", "AUROC\n%", lambda row: row.presence_auroc, percent, max, AUROC)

_BEFORE_AUROC = 1 + next(i for i, column in enumerate(COLUMNS) if column.info is ACCURACY)

FULL_COLUMNS = (*COLUMNS[:_BEFORE_AUROC], _AUROC, *COLUMNS[_BEFORE_AUROC:])
"""All of them, for a page."""


def best_of(column: Column, rows: Sequence[Row]) -> float | None:
    """The best value of a column; ``None`` where there is nothing to compare."""
    values = [value for row in rows if (value := column.value(row)) is not None]
    return column.best(values) if column.best and len(values) > 1 else None


def is_best(column: Column, value: float, best: float | None) -> bool:
    """By what is shown: two numbers that print alike are both the best."""
    return best is not None and column.show(value) == column.show(best)
