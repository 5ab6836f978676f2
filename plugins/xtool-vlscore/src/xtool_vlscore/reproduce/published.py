"""The article's figures: facts, kept in ``published.json`` with their source."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

__all__ = ["METRICS", "PublishedRow", "PublishedTable", "published_table"]

METRICS = {
    "box_iou": "box IoU %",
    "gt_known": "GT-known %",
    "top1": "Top-1 %",
    "top5": "Top-5 %",
    "cls_top1": "class Top-1 %",
    "cls_top5": "class Top-5 %",
}
"""What the tables give, and how it is headed; all in percent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedRow:
    """One row of a table."""

    method: str
    backbone: str
    threshold: float | None
    images: int
    values: dict[str, float]
    """By the names in :data:`METRICS`, in percent; what the article does not give is left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedTable:
    """A table of the article, and what readers must know about it."""

    source: str
    rows: tuple[PublishedRow, ...]
    caveats: tuple[str, ...]


def published_table(name: str) -> PublishedTable:
    """``"table1"`` or ``"table2"``."""
    content = json.loads(files("xtool_vlscore.reproduce").joinpath("published.json").read_text("utf-8"))
    table = content[name]
    return PublishedTable(
        source=content["source"],
        rows=tuple(_row(row, content["images"]) for row in table["rows"]),
        caveats=tuple(table["caveats"]),
    )


def _row(row: dict[str, Any], images: int) -> PublishedRow:
    return PublishedRow(
        method=row["method"],
        backbone=row["backbone"],
        threshold=row.get("threshold"),
        images=row.get("images", images),
        values={name: float(row[name]) for name in METRICS if row.get(name) is not None},
    )
