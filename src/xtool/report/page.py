"""The HTML report: one self-contained page about one or more runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from xtool.errors import DataError, RunError
from xtool.metrics.protocols import get_protocol
from xtool.paint.embed import photo_uri
from xtool.paint.verdicts import Verdict
from xtool.report.cases import Case, MethodCases, run_cases
from xtool.report.columns import FULL_COLUMNS, Column, best_of, is_best
from xtool.report.curves import curves_figure, figure_svg
from xtool.report.instances import COLUMNS as COUNT_COLUMNS
from xtool.report.instances import count_instances
from xtool.report.panels import Panel, panel, record_verdict
from xtool.report.pictures import Pictures

if TYPE_CHECKING:
    from xtool.runs.run import Run
    from xtool.runs.summary import Row

__all__ = ["DEFAULT_GALLERY", "ReportOptions", "report_html", "write_report"]

DEFAULT_GALLERY = 4
MOVING = (0.2, 0.35, 0.5, 0.65, 0.8)
"""Thresholds at which one image's boxes are drawn side by side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportOptions:
    """What goes into the page beside tables and curves."""

    gallery: int = DEFAULT_GALLERY
    """Images in each gallery; 0 leaves the galleries out."""
    counts: bool = True
    """Whether instances are counted, which makes the boxes of every recorded map once more."""
    data_dir: str | Path | None = None
    """Where the data set lies now; by default where it lay when the run was made."""
    image: str | None = None
    """Id of the image whose boxes are shown as the threshold moves; by default one of middling IoU."""


@dataclass(frozen=True, slots=True)
class _Shown:
    """One picture of a gallery."""

    panel: Panel | None
    problem: str
    """Why there is no picture; empty where there is one."""
    title: str
    caption: str
    found: bool | None


@dataclass(frozen=True, slots=True)
class _Gallery:
    title: str
    about: str
    pictures: list[_Shown]


def write_report(runs: Sequence[Run], path: str | Path, options: ReportOptions | None = None) -> Path:
    """Write the page. Raises :class:`RunError` where the file cannot be written."""
    path = Path(path)
    text = report_html(runs, options)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    except OSError as error:
        raise RunError(f"{path} cannot be written: {error.strerror or error}") from error
    return path


def report_html(runs: Sequence[Run], options: ReportOptions | None = None) -> str:
    """The page as text."""
    options = options or ReportOptions()
    environment = Environment(
        loader=PackageLoader("xtool.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    rows = [(run, row) for run in runs for row in run.rows()]
    shown = [column for column in FULL_COLUMNS if any(column.value(row) is not None for _, row in rows)]
    # What matplotlib wrote is markup; the style sheet is the package's own.
    style = (Path(__file__).parent / "templates" / "report.css").read_text("utf-8")
    return environment.get_template("report.html.jinja").render(
        title=_title(runs),
        style=Markup(style),
        several=len(runs) > 1,
        columns=shown,
        rows=[_cells(run, row, shown, [row for _, row in rows]) for run, row in rows],
        metrics=[(column.title, column.info) for column in shown if column.info is not None],
        protocols=[get_protocol(name).info for name in dict.fromkeys(run.identity["protocol"] for run in runs)],
        curves=Markup(figure_svg(curves_figure(runs))) if rows else None,
        sections=[_section(run, number, options) for number, run in enumerate(runs)],
    )


def _title(runs: Sequence[Run]) -> str:
    names = dict.fromkeys(f"{run.identity['encoder']['name']} on {run.identity['dataset']['name']}" for run in runs)
    return ", ".join(names)


def _cells(run: Run, row: Row, columns: Sequence[Column], rows: Sequence[Row]) -> dict[str, Any]:
    def cell(column: Column) -> tuple[str, bool]:
        value = column.value(row)
        return ("–", False) if value is None else (column.show(value), is_best(column, value, best_of(column, rows)))

    return {
        "where": (run.identity["dataset"]["name"], run.identity["encoder"]["name"], run.identity["protocol"]),
        "method": row.method,
        "cells": [cell(column) for column in columns],
    }


def _section(run: Run, number: int, options: ReportOptions) -> dict[str, Any]:
    found = run_cases(run)
    album = _Album(run, number, options.data_dir)
    galleries = [(each, _galleries(run, each, options.gallery, album)) for each in found] if options.gallery else []
    moving = _moving(run, found, options.image, album) if options.gallery else None
    planned = sum(directory.manifest["images"] for directory in run.directories)
    failed = run.failures()
    return {
        "name": f"{run.identity['encoder']['name']} on {run.identity['dataset']['name']}",
        "path": str(run.path),
        "images": run.images(),
        "planned": planned,
        "missing": max(planned - run.images() - len(failed), 0),
        "trained": run.identity["encoder"]["trained"],
        "protocol": run.identity["protocol"],
        "counts": count_instances(run) if options.counts else [],
        "count_columns": COUNT_COLUMNS,
        "galleries": galleries,
        "moving": moving,
        "photos": album.photos,
        "problem": album.pictures.problem,
        "failures": failed,
        "manifests": [json.dumps(each.manifest, indent=2, ensure_ascii=False) for each in run.directories],
    }


class _Album:
    """The photographs of one section, each opened and embedded once."""

    def __init__(self, run: Run, number: int, data_dir: str | Path | None) -> None:
        self.pictures = Pictures(run, data_dir)
        self.photos: dict[str, str] = {}
        self._number = number

    def key(self, index: int) -> str:
        """Embed the photograph of a sample and name it. Raises :class:`DataError`."""
        key = f"photo-{self._number}-{index}"
        if key not in self.photos:
            self.photos[key] = photo_uri(self.pictures.open(index))
        return key


def _galleries(run: Run, found: MethodCases, number: int, album: _Album) -> list[_Gallery]:
    chosen = (
        ("Best", "found, highest IoU first", found.best(number)),
        ("Worst", "lowest IoU first", found.worst(number)),
        ("Unlike the others", "IoU furthest from the other methods' mean", found.disagreeing(number)),
    )
    return [
        _Gallery(title, about, [_shown(run, case, found.threshold, album) for case in cases])
        for title, about, cases in chosen
        if cases
    ]


def _shown(run: Run, case: Case, threshold: float, album: _Album) -> _Shown:
    record = case.record
    told = f"IoU {100 * case.iou:.0f} %"
    if case.difference:
        told += f", {100 * abs(case.difference):.0f} {'above' if case.difference > 0 else 'below'} the others"
    verdict = record_verdict(record)
    if verdict is not Verdict.CANNOT_TELL:
        told += f", said to be {verdict.words}"
    if record.get("rank") is not None:
        told += f", class ranked {record['rank']}"
    picture, problem = _picture(run, case, threshold, album)
    return _Shown(picture, problem, f"{record['label']} · {record['image']}", told, case.found)


def _picture(run: Run, case: Case, threshold: float, album: _Album) -> tuple[Panel | None, str]:
    try:
        return panel(case.record, run.identity, threshold, album.key(case.record["index"])), ""
    except DataError as error:
        return None, album.pictures.problem or str(error)


def _moving(run: Run, found: Sequence[MethodCases], image: str | None, album: _Album) -> dict[str, Any] | None:
    """One image at several thresholds, a row of pictures for each method."""
    if not found:
        return None
    if image is None:
        middling = sorted(found[0].cases, key=lambda case: case.iou)[len(found[0].cases) // 2]
        image = str(middling.record["image"])
    rows = [(each, case) for each in found for case in each.cases if case.record["image"] == image]
    if not rows:
        raise RunError(f"{run.path} has no record of the image {image!r}")
    strips = [
        (each.method, [_at(run, case, threshold, album) for threshold in sorted({*MOVING, each.threshold})])
        for each, case in rows
    ]
    return {"image": image, "label": rows[0][1].record["label"], "strips": strips}


def _at(run: Run, case: Case, threshold: float, album: _Album) -> _Shown:
    index = get_protocol(run.identity["protocol"]).thresholds
    nearest = int(abs(index - threshold).argmin())
    recorded = abs(float(index[nearest]) - threshold) < 1e-9
    told = f", IoU {100 * case.record['ious'][nearest]:.0f} %" if recorded else ""
    picture, problem = _picture(run, case, threshold, album)
    return _Shown(picture, problem, f"{threshold:g}{told}", "", None)
