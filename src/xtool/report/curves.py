"""Accuracy and box IoU against the threshold: one line per method and encoder."""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO
from typing import TYPE_CHECKING, Any

from matplotlib import colormaps, rc_context
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from xtool.runs.rows import Row
    from xtool.runs.run import Run

__all__ = ["curves_figure", "figure_svg"]

LINES = ("-", "--", "-.", ":")
FIXED = 1
"""A protocol with this many thresholds has no curve, only a point."""


def curves_figure(runs: Sequence[Run]) -> Figure:
    """Draw all rows of the runs in one figure of two panels; methods differ in colour, runs in line style."""
    figure = Figure(figsize=(9.6, 4.4), layout="constrained")
    accuracy, overlap = figure.subplots(1, 2, sharex=True)
    titles = [(run, row, _title(run, row, runs)) for run in runs for row in run.rows()]
    methods = list(dict.fromkeys(row.method for _, row, _ in titles))
    for run, row, title in titles:
        style = {
            "color": colormaps["tab10"](methods.index(row.method) % 10),
            "linestyle": LINES[list(runs).index(run) % len(LINES)],
            "linewidth": 1.8,
        }
        _draw(accuracy, run, row, row.curve, row.values["gt_known"], style, title)
        _draw(overlap, run, row, row.iou_curve, row.values["box_iou"], style, title)
    for axes, name in ((accuracy, "GT-known accuracy, %"), (overlap, "mean best box IoU, %")):
        axes.set_ylabel(name)
        axes.set_xlabel("threshold, fraction of the map's maximum")
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 100)
        axes.grid(visible=True, color="0.9", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    if titles:
        # Below and outside: no corner of a panel is free of curves for sure.
        handles, labels = accuracy.get_legend_handles_labels()
        legend = figure.legend(
            handles, labels, loc="outside lower center", ncols=2 if len(runs) > 1 else 3, frameon=False
        )
        for text in legend.get_texts():
            text.set_parse_math(False)
    else:
        accuracy.text(0.5, 50, "no results yet", ha="center", color="0.4")
    return figure


def figure_svg(figure: Figure) -> str:
    """The figure as an ``<svg>`` element to stand inside a page; equal figures give equal text."""
    stream = StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "xtool", "font.family": "sans-serif"}):
        figure.savefig(stream, format="svg", metadata={"Date": None})
    text = stream.getvalue()
    return text[text.index("<svg") :]


def _draw(
    axes: Axes, run: Run, row: Row, curve: Sequence[float], chosen: float | None, style: dict[str, Any], title: str
) -> None:
    thresholds = run.protocol.thresholds
    percent = [100 * value for value in curve]
    if len(thresholds) == FIXED:
        axes.plot(thresholds, percent, marker="o", label=title, **style)
        return
    axes.plot(thresholds, percent, label=title, **style)
    if row.threshold is not None and chosen is not None:
        axes.plot([row.threshold], [100 * chosen], marker="o", markersize=5, color=style["color"])


def _title(run: Run, row: Row, runs: Sequence[Run]) -> str:
    if len(runs) == 1:
        return row.method
    identity = run.identity
    parts = [row.method, identity.encoder.name]
    for varying in (identity.dataset.name, identity.protocol):
        others = {other.identity.dataset.name for other in runs} | {other.identity.protocol for other in runs}
        if len(others) > 2:  # more than one data set and one protocol
            parts.append(varying)
    return " · ".join(parts)
