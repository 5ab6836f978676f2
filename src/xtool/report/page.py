"""The HTML report: one self-contained page about one or more runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from xtool.errors import DataError, RunError
from xtool.paint.embed import photo_uri
from xtool.paint.verdicts import Verdict
from xtool.report.choice import best, disagreeing, middling, worst
from xtool.report.curves import curves_figure, figure_svg
from xtool.report.panels import Panel, panel
from xtool.report.pictures import Pictures
from xtool.report.tables import difference_tables, table_row
from xtool.runs.cells import MARKS, cells
from xtool.runs.counts import COLUMNS as COUNT_COLUMNS
from xtool.runs.counts import count_instances

if TYPE_CHECKING:
    from xtool.runs.images import ImageResult
    from xtool.runs.rows import MethodResult
    from xtool.runs.run import Run
    from xtool.store.records import Record

__all__ = ["DEFAULT_GALLERY", "ReportOptions", "report_html", "write_report"]

DEFAULT_GALLERY = 4
LISTED = 200
"""Images that could not be used, with reasons; of more, a page gives the number."""
MOVING = (0.2, 0.35, 0.5, 0.65, 0.8)
"""Thresholds at which one image's boxes are drawn side by side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportOptions:
    """What goes into the page in addition to tables and curves."""

    gallery: int = DEFAULT_GALLERY
    """Images in each gallery; 0 leaves the galleries out."""
    counts: bool = True
    """Whether instances are counted, which recomputes the boxes of every recorded map."""
    data_dir: str | Path | None = None
    """Where the data set is now; by default where it was when the run was made."""
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
    shown, lines = cells([(run.identity, run.summary) for run in runs], detail=True)
    # What matplotlib wrote is markup; the style sheet is the package's own.
    style = (Path(__file__).parent / "templates" / "report.css").read_text("utf-8")
    return environment.get_template("report.html.jinja").render(
        title=_title(runs),
        style=Markup(style),
        several=len(runs) > 1,
        columns=shown,
        rows=[table_row(shown, line) for line in lines],
        marks=MARKS,
        metrics=[(column.title, column.info) for column in shown if column.info is not None],
        protocols=list({run.protocol.name: run.protocol.info for run in runs}.values()),
        curves=Markup(figure_svg(curves_figure(runs))) if lines else None,
        sections=[_section(run, number, options) for number, run in enumerate(runs)],
    )


def _title(runs: Sequence[Run]) -> str:
    names = dict.fromkeys(f"{run.identity.encoder.name} on {run.identity.dataset.name}" for run in runs)
    return ", ".join(names)


def _section(run: Run, number: int, options: ReportOptions) -> dict[str, Any]:
    found = run.results
    album = _Album(run, number, options.data_dir)
    drawn = options.gallery > 0 and run.has_maps
    galleries = [(each, _galleries(run, each, options.gallery, album)) for each in found] if drawn else []
    moving = _moving(run, options.image, album) if drawn else None
    planned = sum(directory.manifest.images for directory in run.directories)
    failed = run.failures()
    failures = (*failed, *run.unanswered())
    return {
        "name": f"{run.identity.encoder.name} on {run.identity.dataset.name}",
        "path": str(run.path),
        "images": run.images(),
        "planned": planned,
        "missing": max(planned - run.images() - len(failed), 0),
        "trained": run.identity.encoder.trained,
        "protocol": run.identity.protocol,
        "differences": difference_tables(run),
        "maps": run.has_maps,
        "counts": count_instances(run) if options.counts and run.has_maps else [],
        "count_columns": COUNT_COLUMNS,
        "galleries": galleries,
        "moving": moving,
        "photos": album.photos,
        "problem": album.pictures.problem,
        "failures": failures[:LISTED],
        "unlisted": len(failures[LISTED:]),
        "manifests": [each.manifest.as_text() for each in run.directories],
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


def _galleries(run: Run, result: MethodResult, number: int, album: _Album) -> list[_Gallery]:
    chosen = (
        ("Best", "found, highest IoU first", best(result, number)),
        ("Worst", "lowest IoU first", worst(result, number)),
        ("Unlike the others", "IoU furthest from the other methods' mean", disagreeing(result, number)),
    )
    return [
        _Gallery(title, about, [_shown(run, image, result.threshold, album) for image in images])
        for title, about, images in chosen
        if images
    ]


def _shown(run: Run, image: ImageResult, threshold: float, album: _Album) -> _Shown:
    record = run.record(image)
    told = f"IoU {100 * image.iou:.0f} %"
    if image.difference:
        told += f", {100 * abs(image.difference):.0f} {'above' if image.difference > 0 else 'below'} the others"
    verdict = run.verdict(record)
    if verdict is not Verdict.CANNOT_TELL:
        told += f", {verdict.words}" if verdict is Verdict.UNSURE else f", said to be {verdict.words}"
    if record.rank is not None:
        told += f", class ranked {record.rank}"
    picture, problem = _picture(run, record, threshold, album)
    return _Shown(picture, problem, f"{record.label} · {record.image}", told, image.found)


def _picture(run: Run, record: Record, threshold: float, album: _Album) -> tuple[Panel | None, str]:
    try:
        return panel(run, record, threshold, album.key(record.index)), ""
    except DataError as error:
        return None, album.pictures.problem or str(error)


def _moving(run: Run, wanted: str | None, album: _Album) -> dict[str, Any] | None:
    """One image at several thresholds, a row of pictures for each method."""
    if not run.results:
        return None
    name = middling(run.results[0]).image if wanted is None else wanted
    rows = [(result, run.record(image)) for result in run.results for image in result.images.named(name)]
    if not rows:
        raise RunError(f"{run.path} has no record of the image {name!r}")
    strips = [
        (result.method, [_at(run, record, threshold, album) for threshold in sorted({*MOVING, result.threshold})])
        for result, record in rows
    ]
    return {"image": name, "label": rows[0][1].label, "strips": strips}


def _at(run: Run, record: Record, threshold: float, album: _Album) -> _Shown:
    ious = run.protocol.ious(run.boxes(record, threshold), record.true_boxes, record.image_size)
    picture, problem = _picture(run, record, threshold, album)
    return _Shown(picture, problem, f"{threshold:g}, IoU {100 * ious.max(initial=0.0):.0f} %", "", None)
