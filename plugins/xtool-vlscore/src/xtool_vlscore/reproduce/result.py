"""Measured next to published."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xtool_vlscore.reproduce.published import METRICS, PublishedRow, PublishedTable

if TYPE_CHECKING:
    from rich.table import Table

    from xtool.plugin import Run
    from xtool_vlscore.reproduce.measure import Measured

__all__ = ["ResultRow", "caveats", "result_as_json", "result_rows", "result_table"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultRow:
    """A row of the table: measured, published, or both."""

    method: str
    backbone: str
    threshold: float | None
    protocol: str | None
    """``None`` for a row that is only published."""
    images: int | None
    measured: dict[str, float]
    """By metric, in percent; empty for a row that is only published."""
    published: dict[str, float]
    published_images: int | None

    def difference(self, metric: str) -> float | None:
        """Measured minus published, in percentage points."""
        if metric not in self.measured or metric not in self.published:
            return None
        return self.measured[metric] - self.published[metric]


def result_rows(table: PublishedTable, measured: Sequence[Measured]) -> list[ResultRow]:
    """Published rows in the article's order, measured where there is a run for them; then what it does not have."""
    runs = [(item, threshold) for item in measured if item.paths for threshold in item.experiment.thresholds]
    used: set[int] = set()
    rows = []
    for known in table.rows:
        position = next((i for i, (item, at) in enumerate(runs) if i not in used and _same(item, at, known)), None)
        if position is None:
            rows.append(_published_only(known))
        else:
            used.add(position)
            rows.append(_measured(*runs[position], known))
    rows.extend(_measured(item, at, None) for i, (item, at) in enumerate(runs) if i not in used)
    return rows


def caveats(table: PublishedTable, rows: Sequence[ResultRow], measured: Sequence[Measured]) -> list[str]:
    """What readers must know before comparing, most specific first."""
    told = [
        f"{item.experiment.title} ({item.experiment.encoder}) is not measured: {item.problem}"
        for item in measured
        if item.problem
    ]
    runs = [item.run(None) for item in measured if item.paths]
    identities = [run.identity for run in runs]
    untrained = dict.fromkeys(each.encoder.name for each in identities if not each.encoder.trained)
    told.extend(f"{name} has random weights: its numbers show only that the program works." for name in untrained)
    elsewhere = dict.fromkeys(each.dataset.name for each in identities if each.dataset.name != "imagenet:val")
    told.extend(
        f"Measured on {name}, not on ImageNet: the published figures are shown but are not comparable."
        for name in elsewhere
    )
    if any(
        item.experiment.method != "cam" and not item.experiment.method.endswith("preset=paper") for item in measured
    ):
        told.append("This is not the article's method.")
    told.extend(_finished(run) for run in runs if _finished(run))
    images = [row.images for row in rows if row.images]
    if images and min(images) < max(row.published_images or 0 for row in rows):
        points = 100 * 1.96 * math.sqrt(0.25 / min(images))
        told.append(
            f"With {min(images):,} images a rate is known to ±{points:.1f} percentage points at best (95 %); "
            "a smaller difference says nothing."
        )
    if any(item.experiment.classifier for item in measured):
        told.append("Rows with two backbones take boxes from the first and classes from the second.")
    return [*told, *table.caveats]


def result_table(title: str, rows: Sequence[ResultRow]) -> Table:
    """For a terminal: measured, published in brackets, difference, one under the other; 80 columns are enough."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    heading = f"{title}, in percent: measured, (published), difference"
    table = Table(box=box.SIMPLE_HEAD, title=heading, title_justify="left")
    table.add_column("method and backbone", overflow="fold")
    shown = [metric for metric in METRICS if any(metric in row.measured or metric in row.published for row in rows)]
    for metric in shown:
        table.add_column(METRICS[metric].removesuffix(" %").replace(" ", "\n"), justify="right", no_wrap=True)
    for row in rows:
        style = "" if row.protocol else "dim"
        table.add_row(Text(_heading(row)), *(Text(_cell(row, metric)) for metric in shown), style=style)
    return table


def result_as_json(rows: Sequence[ResultRow]) -> list[dict[str, Any]]:
    """For machines; percentages, as the article has them."""
    return [
        {
            "method": row.method,
            "backbone": row.backbone,
            "threshold": row.threshold,
            "protocol": row.protocol,
            "images": row.images,
            "published_images": row.published_images,
            "as_published": row.protocol is None,
            "measured": row.measured,
            "published": row.published,
            "difference": {m: d for m in METRICS if (d := row.difference(m)) is not None},
        }
        for row in rows
    ]


def _heading(row: ResultRow) -> str:
    if row.protocol is None:
        at = "" if row.threshold is None else f" at {row.threshold:.2f}"
        return f"{row.method}, {row.backbone}{at}, as published"
    at = "" if row.threshold is None else f"at {row.threshold:.2f}, "
    return f"{row.method}, {row.backbone}\n{at}{row.protocol}, {row.images:,} images"


def _cell(row: ResultRow, metric: str) -> str:
    own, known, difference = row.measured.get(metric), row.published.get(metric), row.difference(metric)
    if own is None:
        return "–" if known is None else f"({known:.2f})"
    return f"{own:.2f}" if difference is None else f"{own:.2f}\n({known:.2f})\n{difference:+.2f}"


def _same(item: Measured, threshold: float | None, known: PublishedRow) -> bool:
    own = item.experiment
    return (
        own.published
        and own.title == known.method
        and own.backbone == known.backbone
        and (threshold is None or threshold == known.threshold)
    )


def _published_only(known: PublishedRow) -> ResultRow:
    return ResultRow(
        method=known.method, backbone=known.backbone, threshold=known.threshold, protocol=None, images=None,
        measured={}, published=known.values, published_images=known.images,
    )  # fmt: skip


def _measured(item: Measured, threshold: float | None, known: PublishedRow | None) -> ResultRow:
    own = item.experiment
    run = item.run(threshold)
    (row,) = run.rows()
    values = {**{name: row.values.get(name) for name in METRICS}, **_class_rates(run)}
    return ResultRow(
        method=own.title if own.method.endswith("preset=paper") or own.method == "cam" else own.method,
        backbone=f"{own.backbone} + {own.classifier}" if own.classifier else own.backbone,
        threshold=row.threshold,
        protocol=own.protocol,
        images=run.images(),
        measured={name: round(100 * value, 2) for name, value in values.items() if value is not None},
        published=known.values if known else {},
        published_images=known.images if known else None,
    )


def _class_rates(run: Run) -> dict[str, float]:
    """Zero-shot classification alone, from the recorded ranks."""
    ranks = [rank for result in run.results for rank in result.results.ranks]
    known = [rank for rank in ranks if rank is not None]
    if not known or len(known) < len(ranks):
        return {}
    return {f"cls_top{k}": sum(rank <= k for rank in known) / len(known) for k in (1, 5)}


def _finished(run: Run) -> str:
    """What is missing of a run, in words; empty where nothing is."""
    name, (_, shards) = run.identity.encoder.name, run.identity.shard
    told = []
    if len(run.directories) < shards:
        told.append(f"{name}: {len(run.directories)} of {shards} shards found")
    if failed := len(run.failures()):
        told.append(f"{name}: {failed} image(s) could not be used")
    return "; ".join(told)
