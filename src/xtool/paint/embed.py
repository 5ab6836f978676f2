"""Pictures inside a page: data URIs that a browser needs no server for."""

from __future__ import annotations

import base64
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from xtool.paint.heat import heat_layer

__all__ = ["data_uri", "heat_uri", "photo_uri"]

PHOTO_SIDE = 360
HEAT_SIDE = 112
"""Heat is smooth and shown half transparent: more pixels would not be seen."""


def photo_uri(image: Image.Image) -> str:
    """A photograph as a small JPEG."""
    small = image.convert("RGB")
    small.thumbnail((PHOTO_SIDE, PHOTO_SIDE), Image.Resampling.LANCZOS)
    stream = BytesIO()
    small.save(stream, "JPEG", quality=82)
    return data_uri(stream.getvalue(), "image/jpeg")


def heat_uri(heat: NDArray[Any], *, faded: bool = False) -> str:
    """The layer of a map [height, width] in [0, 1], as a small PNG with a palette, to be laid over the photograph."""
    small = Image.fromarray(np.ascontiguousarray(heat, np.float32))
    small.thumbnail((HEAT_SIDE, HEAT_SIDE), Image.Resampling.BILINEAR)
    stream = BytesIO()
    heat_layer(np.asarray(small), faded=faded).save(stream, "PNG", optimize=True)
    return data_uri(stream.getvalue(), "image/png")


def data_uri(content: bytes, kind: str) -> str:
    """Bytes of a media type as a URI."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
