"""VOC XML, as Pascal VOC, ImageNet and many labelling tools write it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
from numpy.typing import NDArray

from xtool.errors import DataError

__all__ = ["Annotation", "read_voc_xml"]


@dataclass(frozen=True, slots=True)
class Annotation:
    """The objects of one image."""

    filename: str
    """As the file says, perhaps without extension; empty where it says nothing."""
    size: tuple[int, int] | None
    """(width, height) as annotated; ``None`` where the file does not say."""
    names: tuple[str, ...]
    """[N] the name of each object."""
    boxes: NDArray[np.float64]
    """[N, 4] (xmin, ymin, xmax, ymax) as written."""

    def of(self, name: str) -> NDArray[np.float64]:
        """[M, 4] the boxes of the objects with this name."""
        chosen: NDArray[np.float64] = self.boxes[np.array([own == name for own in self.names], bool)]
        return chosen


def read_voc_xml(path: Path) -> Annotation:
    """Read one file. Raises :class:`DataError` for a missing or malformed one."""
    file = os.fspath(path)
    try:
        root = ET.fromstring(path.read_bytes())
    except FileNotFoundError:
        raise DataError(file, "no such file") from None
    except (ET.ParseError, OSError, ValueError) as error:
        raise DataError(file, f"not an XML file ({error})") from error
    names, boxes = [], []
    for number, item in enumerate(root.iter("object"), start=1):
        names.append((item.findtext("name") or "").strip())
        corners = [item.findtext(f"bndbox/{key}") for key in ("xmin", "ymin", "xmax", "ymax")]
        if not names[-1]:
            raise DataError(file, f"object {number} has no name")
        try:
            boxes.append([float(corner or "missing") for corner in corners])
        except ValueError:
            raise DataError(file, f"object {number} ({names[-1]}) has no box of four numbers: {corners}") from None
    return Annotation(
        (root.findtext("filename") or "").strip(), _size(root), tuple(names), np.array(boxes, np.float64).reshape(-1, 4)
    )


def _size(root: ET.Element) -> tuple[int, int] | None:
    try:
        width, height = (int(root.findtext(f"size/{key}") or 0) for key in ("width", "height"))
    except ValueError:
        return None
    return (width, height) if width > 0 and height > 0 else None
