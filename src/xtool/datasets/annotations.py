"""VOC XML, as Pascal VOC, ImageNet and many labelling tools write it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
from numpy.typing import NDArray

from xtool.errors import DataError, regular

__all__ = ["Annotation", "read_voc_xml"]

DECLARATION = re.compile(rb"""\s*<\?xml[^>]*?encoding\s*=\s*["']([\w.-]+)["'][^>]*\?>""", re.ASCII)


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
    unboxed: tuple[str, ...] = ()
    """Names of the objects that have no box at all."""

    def of(self, name: str) -> NDArray[np.float64]:
        """[M, 4] the boxes of the objects with this name."""
        chosen: NDArray[np.float64] = self.boxes[np.array([own == name for own in self.names], bool)]
        return chosen


def read_voc_xml(path: Path) -> Annotation:
    """Read one file. Raises :class:`DataError` for a missing or malformed one."""
    file = os.fspath(path)
    try:
        root = _parse(regular(path).read_bytes())
    except FileNotFoundError:
        raise DataError(file, "no such file") from None
    except (ET.ParseError, OSError, ValueError, LookupError) as error:
        raise DataError(file, f"not an XML file ({error})") from error
    names, boxes, unboxed = [], [], []
    for number, item in enumerate(root.iter("object"), start=1):
        name = (item.findtext("name") or "").strip()
        if not name:
            raise DataError(file, f"object {number} has no name")
        if item.find("bndbox") is None:
            unboxed.append(name)
            continue
        corners = [item.findtext(f"bndbox/{key}") for key in ("xmin", "ymin", "xmax", "ymax")]
        try:
            boxes.append([float(corner or "missing") for corner in corners])
        except ValueError:
            raise DataError(file, f"object {number} ({name}) has no box of four numbers: {corners}") from None
        names.append(name)
    return Annotation(
        filename=(root.findtext("filename") or "").strip(),
        size=_size(root),
        names=tuple(names),
        boxes=np.array(boxes, np.float64).reshape(-1, 4),
        unboxed=tuple(unboxed),
    )


def _parse(data: bytes) -> ET.Element:
    declared = DECLARATION.match(data)
    if declared is None:
        return ET.fromstring(data)
    # Expat knows few encodings; Python knows those that labelling tools write, such as gbk.
    return ET.fromstring(data[declared.end() :].decode(declared[1].decode("ascii")))


def _size(root: ET.Element) -> tuple[int, int] | None:
    try:
        width, height = (int(root.findtext(f"size/{key}") or 0) for key in ("width", "height"))
    except ValueError:
        return None
    return (width, height) if width > 0 and height > 0 else None
