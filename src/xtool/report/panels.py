"""An image with heat map and boxes as inline SVG: photograph and heat are small JPEGs, boxes stay sharp lines."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image

from xtool.report.overlays import COLOUR_MAP

if TYPE_CHECKING:
    from xtool.runs.records import Record
    from xtool.runs.run import Run

__all__ = ["Panel", "heat_uri", "panel", "photo_uri"]

PHOTO_SIDE = 360
HEAT_SIDE = 112
"""Heat is smooth and shown half transparent: more pixels would not be seen."""


@dataclass(frozen=True, slots=True)
class Panel:
    """What the template draws. Boxes are (x, y, width, height) in pixels of the image."""

    key: str
    """Names the photograph in the page, which holds each one once."""
    width: int
    height: int
    heat: str
    """Data URI; empty for a map that says nothing."""
    predicted: tuple[tuple[float, ...], ...]
    truth: tuple[tuple[float, ...], ...]


def panel(run: Run, record: Record, threshold: float, key: str) -> Panel:
    """One method's heat map on one image, with the boxes that are scored at a threshold."""
    width, height = record.image_size
    heat = run.image_map(record).full
    return Panel(
        key=key,
        width=width,
        height=height,
        heat=heat_uri(heat) if heat.any() else "",
        predicted=_sides(run.boxes(record, threshold).tolist()),
        truth=_sides(record.true_boxes),
    )


def photo_uri(image: Image.Image) -> str:
    """A photograph as a small JPEG in a data URI."""
    small = image.convert("RGB")
    small.thumbnail((PHOTO_SIDE, PHOTO_SIDE), Image.Resampling.LANCZOS)
    return _jpeg(small, 82)


def heat_uri(heat: NDArray[np.float32]) -> str:
    """A map [height, width] in [0, 1], coloured, as a small JPEG in a data URI."""
    small = Image.fromarray(np.ascontiguousarray(heat, np.float32))
    small.thumbnail((HEAT_SIDE, HEAT_SIDE), Image.Resampling.BILINEAR)
    colours = colormaps[COLOUR_MAP](np.clip(np.asarray(small), 0, 1), bytes=True)[..., :3]
    return _jpeg(Image.fromarray(np.ascontiguousarray(colours)), 80)


def _jpeg(image: Image.Image, quality: int) -> str:
    stream = BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()


def _sides(boxes: Sequence[Sequence[float]]) -> tuple[tuple[float, ...], ...]:
    return tuple((x0, y0, x1 - x0, y1 - y0) for x0, y0, x1, y1 in boxes)
