"""Recorded maps, back in the image: heat and boxes without running a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xtool.image.geometry import Geometry
from xtool.metrics.boxes import box_sweep, largest
from xtool.metrics.image_map import ImageMap
from xtool.runs.evaluate import unpack_map

if TYPE_CHECKING:
    from collections.abc import Mapping

    from xtool.runs.records import Record

__all__ = ["heat_of", "predicted_boxes"]

ONE_BOX = ("maxboxacc", "cam2016")
"""Protocols that take the largest component's box alone."""


def heat_of(record: Record, identity: Mapping[str, Any]) -> NDArray[np.float32]:
    """[height, width] the map in the image, scaled to [0, 1]."""
    width, height = record["image_size"]
    rows, columns = identity["encoder"]["input_size"]
    geometry = Geometry.of((width, height), (rows, columns), identity["fit"])
    return ImageMap(unpack_map(record["map"]), geometry).full


def predicted_boxes(heat: NDArray[np.float32], threshold: float, protocol: str) -> NDArray[np.int64]:
    """[N, 4] half-open boxes at a threshold: of every component, or of the largest where the protocol takes one."""
    sweep = box_sweep(heat, [threshold])
    return largest(sweep, 0) if protocol in ONE_BOX else sweep.at(0)
