"""Emoji sets that scenes are made of, and the file of rendered drawings (``scripts/drawings.py`` makes it)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["SIDE", "VENDORS", "Drawings", "Vendor", "load", "save"]

SIDE = 144
"""Longest side of a rendered drawing, in pixels: above the largest object of a scene."""

Drawings = dict[tuple[str, str], NDArray[np.uint8]]
"""(vendor, thing) → RGBA [height, width, 4], not premultiplied, cropped to the visible part."""


@dataclass(frozen=True, slots=True)
class Vendor:
    """One emoji set, as packaged for npm by Iconify (``@iconify-json/NAME``)."""

    name: str
    version: str
    licence: str
    """SPDX identifier of the graphics. No share-alike set is used, so scenes and weights carry attribution only."""
    role: Literal["train", "held-out"]


VENDORS = (
    Vendor("noto", "1.2.9", "Apache-2.0", "train"),
    Vendor("noto-v1", "1.2.5", "Apache-2.0", "train"),
    Vendor("twemoji", "1.2.5", "CC-BY-4.0", "train"),
    Vendor("emojione", "1.2.3", "CC-BY-4.0", "train"),
    Vendor("fxemoji", "1.2.2", "Apache-2.0", "train"),
    Vendor("fluent-emoji", "1.2.7", "MIT", "held-out"),
    Vendor("fluent-emoji-flat", "1.2.6", "MIT", "held-out"),
)


def vendors(role: Literal["train", "held-out"]) -> frozenset[str]:
    """Names of the sets with this role."""
    return frozenset(vendor.name for vendor in VENDORS if vendor.role == role)


def save(path: Path, drawings: Drawings) -> None:
    """Write drawings as one compressed archive."""
    arrays = {f"{vendor}/{thing}": drawing for (vendor, thing), drawing in drawings.items()}
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]  # numpy types only its own keyword here


def load(path: Path, role: Literal["train", "held-out"]) -> Drawings:
    """Read the drawings of the sets with one role: training must never hold a held-out drawing in memory."""
    names = vendors(role)
    with np.load(path) as archive:
        keys = [key for key in archive.files if key.split("/")[0] in names]
        return {(key.split("/")[0], key.split("/")[1]): archive[key] for key in keys}
