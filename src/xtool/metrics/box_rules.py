"""Named rules that turn one heat map into boxes, if no threshold is given.

========================  ==================================================================
``0.35``                  what exceeds this fraction of the map's maximum (``max-fraction``)
``max-fraction=0.35``     the same
``quantile=0.9``          what exceeds this quantile of the map
``mean``                  what exceeds the map's mean
``otsu``                  what exceeds Otsu's threshold, which best divides the values in two
``search=0.8``            one box: the most mass for the least area
========================  ==================================================================

All but ``search`` take the boxes of 4-connected components, as :func:`xtool.metrics.boxes.box_sweep` does.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from xtool.errors import UsageError
from xtool.metrics.boxes import box_sweep

__all__ = ["RULES", "BoxRule", "box_rule", "otsu_threshold", "search_box"]

Map = NDArray[np.float32]
Boxes = NDArray[np.int64]
BoxRule = Callable[[Map], Boxes]
"""From a heat map [H, W] to half-open boxes [N, 4]; none for a map that is constant or not finite."""

RULES = ("max-fraction", "quantile", "mean", "otsu", "search")
DEFAULTS = {"max-fraction": 0.5, "quantile": 0.9, "search": 0.8}
COARSE = 28
"""Side of the grid that :func:`search_box` searches exhaustively."""
ROUNDS = 50
"""Two or three are enough; equally good boxes must not send the search in circles."""


def box_rule(text: str) -> BoxRule:
    """The rule called ``name`` or ``name=value``; a bare number is a fraction of the maximum.

    Raises :class:`UsageError` for another name, or a value outside of its range.
    """
    name, _, value = text.strip().partition("=")
    if not value and _is_number(name):
        name, value = "max-fraction", name
    if name not in RULES:
        raise UsageError(f"unknown rule for boxes {text!r}; write a fraction of the maximum, or {', '.join(RULES)}")
    if name not in DEFAULTS:
        if value:
            raise UsageError(f"the rule {name} takes no value, got {text!r}")
        return _by_mean if name == "mean" else _by_otsu
    if value and not _is_number(value):
        raise UsageError(f"{text!r}: the value of {name} must be a number")
    number = float(value) if value else DEFAULTS[name]
    if not 0 <= number < 1 and not (name == "search" and number >= 0):
        raise UsageError(f"{text!r}: the value of {name} must lie in [0, 1)")
    if name == "max-fraction":
        return lambda heat: _above_fraction(heat, number)
    if name == "quantile":
        return lambda heat: _above(heat, float(np.quantile(heat, number))) if _speaks(heat) else _none()
    return lambda heat: search_box(heat, number)


def otsu_threshold(heat: Map, bins: int = 256) -> float:
    """The value that divides a map's histogram in two with the largest variance between (Otsu, IEEE TSMC 1979)."""
    counts, edges = np.histogram(heat, bins)
    centres = (edges[1:] + edges[:-1]) / 2
    below = counts.cumsum()
    above = below[-1] - below
    mass = (counts * centres).cumsum()
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (mass / below - (mass[-1] - mass) / above) ** 2
    return float(edges[1:][np.nanargmax(between[:-1])])


def search_box(heat: Map, alpha: float = 0.8) -> Boxes:
    """[1, 4] the box that maximises its share of the map's mass minus ``alpha`` times its share of the area.

    Searched exhaustively on a grid of 28 cells a side, then the edges move pixel by pixel, two at a time, until none
    improves the score. Several blobs of a map are put into one box if that scores higher.

    Source: Li et al., Adapting CLIP for Phrase Localization Without Further Training, 2022, arXiv:2204.03647.
    """
    if not _speaks(heat) or (heat.min() < 0 and heat.max() <= 0):
        return _none()
    weight = np.clip(heat.astype(np.float64), 0, None)
    gain = weight / weight.sum() - alpha / weight.size  # a box's value is the sum of its pixels' gains
    summed = np.zeros((heat.shape[0] + 1, heat.shape[1] + 1))
    summed[1:, 1:] = gain.cumsum(0).cumsum(1)
    height, width = heat.shape
    rows, columns = _grid(height), _grid(width)
    box = _best(summed, rows, rows, columns, columns)
    for _ in range(ROUNDS):
        x0, y0, x1, y1 = box
        top, bottom = _near(y0, height), _near(y1, height)
        x0, y0, x1, y1 = _best(summed, top, bottom, np.array([x0]), np.array([x1]))
        left, right = _near(x0, width), _near(x1, width)
        moved = _best(summed, np.array([y0]), np.array([y1]), left, right)
        if moved == box:
            break
        box = moved
    return np.array([box], np.int64)


def _grid(length: int) -> NDArray[np.int64]:
    return np.unique(np.linspace(0, length, min(COARSE, length) + 1).round().astype(np.int64))


def _near(edge: int, length: int) -> NDArray[np.int64]:
    """Every edge within one cell of the grid."""
    cell = length // COARSE + 1
    return np.arange(max(edge - cell, 0), min(edge + cell, length) + 1)


def _best(summed: NDArray[np.float64], *edges: NDArray[np.int64]) -> tuple[int, int, int, int]:
    """The best box (x0, y0, x1, y1) with its top, bottom, left and right among these edges."""
    top, bottom, left, right = edges
    strips = (summed[bottom][:, None] - summed[top][None]).transpose(1, 0, 2)  # [top, bottom, W + 1]
    values = strips[:, :, None, right] - strips[:, :, left, None]
    values[top[:, None] >= bottom[None]] = -np.inf
    values[:, :, left[:, None] >= right[None]] = -np.inf
    t, b, l, r = np.unravel_index(int(values.argmax()), values.shape)  # noqa: E741
    return int(left[l]), int(top[t]), int(right[r]), int(bottom[b])


def _above_fraction(heat: Map, fraction: float) -> Boxes:
    return box_sweep(heat, [fraction]).at(0).astype(np.int64)


def _by_mean(heat: Map) -> Boxes:
    return _above(heat, float(heat.mean())) if _speaks(heat) else _none()


def _by_otsu(heat: Map) -> Boxes:
    return _above(heat, otsu_threshold(heat)) if _speaks(heat) else _none()


def _above(heat: Map, value: float) -> Boxes:
    """Boxes of what exceeds a value of the map."""
    # Zero everywhere below, so that the value is a fraction of the maximum whatever the map's sign.
    lifted = heat.astype(np.float64) - float(heat.min())
    top = lifted.max()
    fraction = (value - float(heat.min())) / top
    return box_sweep(lifted, [min(max(fraction, 0.0), np.nextafter(1.0, 0.0))]).at(0).astype(np.int64)


def _speaks(heat: Map) -> bool:
    return bool(np.isfinite(heat).all() and heat.max() > heat.min())


def _none() -> Boxes:
    return np.zeros((0, 4), np.int64)


def _is_number(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False
