"""Any picture -> RGB, upright, or an error that names it and the reason."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from os import PathLike, fspath
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeAlias, TypeVar, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from xtool.errors import DataError, UsageError, XtoolError
from xtool.image.arrays import array_to_image, is_tensor, tensor_to_array

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["MAX_PIXELS", "Frame", "ImageSource", "Source", "open_frame", "open_image", "open_values", "to_image"]

Source = str | PathLike[str] | bytes | IO[bytes]
ImageSource: TypeAlias = "Source | Image.Image | NDArray[Any] | Tensor"

MAX_PIXELS = 75_000_000
"""Larger pictures are refused: a file of a few kilobytes can expand to gigapixels.

Pillow keeps up to 4 bytes for each pixel as stored and 4 for each as RGB: at most 600 MB in all.
"""
BYTES = {"TIFF": 12, "AVIF": 10, "WEBP": 16, "JPEG2000": 20}
"""For each pixel, of formats whose decoders keep more meanwhile than the 8 bytes of others; measured."""
STRIP = 1 << 20
"""Pixels that are converted at once, so that what lies between two modes is never there for a whole picture."""

T = TypeVar("T", bound=np.generic)

URL = re.compile(r"[a-z][a-z0-9+.-]*://|data:", re.IGNORECASE)

EXIF_ORIENTATION = 0x0112
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What turns a picture of each EXIF orientation upright."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What a file's header says: the stored size and how to turn it upright."""

    stored_size: tuple[int, int]
    """(width, height) of the pixels as stored."""
    orientation: int
    """EXIF orientation, 1 to 8; 1 is upright."""

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the upright image."""
        width, height = self.stored_size
        return (height, width) if self.orientation >= 5 else (width, height)

    def turn(self, values: NDArray[T]) -> NDArray[T]:
        """Turn an array [height, width] of stored pixels to upright ones."""
        if self.orientation in (2, 3, 7, 8):
            values = values[:, ::-1]
        if self.orientation in (3, 4, 6, 7):
            values = values[::-1]
        return values.T if self.orientation >= 5 else values

    def upright(self, boxes: ArrayLike) -> NDArray[np.float64]:
        """Turn half-open boxes [N, 4] from stored pixels to upright ones."""
        x0, y0, x1, y1 = np.asarray(boxes, np.float64).reshape(-1, 4).T
        width, height = self.stored_size
        if self.orientation in (2, 3, 7, 8):
            x0, x1 = width - x1, width - x0
        if self.orientation in (3, 4, 6, 7):
            y0, y1 = height - y1, height - y0
        corners = (y0, x0, y1, x1) if self.orientation >= 5 else (x0, y0, x1, y1)
        return np.stack(corners, axis=1)


def to_image(source: ImageSource) -> Image.Image:
    """One picture in any form, as :func:`open_image` returns it: RGB, upright, 8 bits, transparency laid on white.

    Args:
        source: a file's path, its bytes or an open file; a PIL image (its EXIF rotation is applied); a NumPy array
            [H, W], [H, W, 3] or [H, W, 4], uint8, uint16 or floats from 0 to 1; a torch tensor of the same types,
            [C, H, W] as torchvision has it or [H, W, C].

    Raises:
        DataError: the picture cannot be read.
        UsageError: a URL, an array of other shape, type or range, or anything else.
    """
    if isinstance(source, Image.Image):
        with _told(_name(source)):
            return _rgb(ImageOps.exif_transpose(source))
    if isinstance(source, np.ndarray):
        return _rgb(array_to_image(source))
    if is_tensor(source):
        return _rgb(array_to_image(tensor_to_array(source)))
    if isinstance(source, str) and URL.match(source):
        raise UsageError(f"{source} is a URL, and xtool downloads no pictures: save it and give the file, or its bytes")
    if isinstance(source, str | PathLike | bytes) or hasattr(source, "read"):
        return open_image(cast("Source", source))
    raise UsageError(
        f"an image cannot be made from {type(source).__module__}.{type(source).__qualname__}; give the path of a file, "
        "its bytes, an open file, a PIL image, a NumPy array or a torch tensor"
    )


def open_image(source: Source, name: str | None = None, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decode a picture: mode RGB, upright, fully loaded.

    Grey, palette and CMYK pictures are converted (also Adobe's inverted CMYK), 16-bit ones scaled to 8 bits,
    transparent ones laid on white, EXIF rotations applied. ``name`` is what errors call it, the path by default.
    Raises :class:`DataError` for a file that is missing, truncated, undecodable, or larger than ``max_pixels``.
    """
    with _opened(source, name, max_pixels) as picture:
        picture.load()
        turn = UPRIGHT.get(picture.getexif().get(EXIF_ORIENTATION, 1))
        converted = _rgb(picture)
    del picture  # three copies of a large one would be too many
    return converted if turn is None else converted.transpose(turn)


def open_frame(source: Source, name: str | None = None, *, max_pixels: int = MAX_PIXELS) -> Frame:
    """Read a picture's header only. Raises as :func:`open_image`, though truncation may go unnoticed."""
    with _opened(source, name, max_pixels) as picture:
        orientation = picture.getexif().get(EXIF_ORIENTATION, 1)
        return Frame(_stored_size(picture), orientation if orientation in range(1, 9) else 1)


def open_values(source: Source, name: str | None = None) -> NDArray[np.uint8]:
    """Decode a picture of labels: its own numbers, which are no colours to be converted.

    Palette indices or grey values [height, width], or red, green and blue [height, width, 3]; as stored, without EXIF
    rotation. Raises :class:`DataError` as :func:`open_image`, and for any other kind of picture.
    """
    with _opened(source, name, MAX_PIXELS) as picture:
        picture.load()
        if picture.mode not in ("P", "L", "RGB"):
            raise DataError(name or _name(source), f"labels in a picture of mode {picture.mode} have no known meaning")
        values: NDArray[np.uint8] = np.array(picture, np.uint8)
        return values


@contextmanager
def _opened(source: Source, name: str | None, max_pixels: int) -> Iterator[Image.Image]:
    name = name or _name(source)
    with _told(name, max_pixels), Image.open(_readable(source, name)) as picture:
        width, height = picture.size
        limit = min(max_pixels, MAX_PIXELS * 8 // BYTES.get(picture.format or "", 8))
        if width * height > limit:
            raise DataError(name, f"{width} x {height} pixels are more than the limit of {limit}")
        yield picture


@contextmanager
def _told(name: str, max_pixels: int = MAX_PIXELS) -> Iterator[None]:
    """Turn what Pillow raises over a picture into :class:`DataError`."""
    try:
        yield
    except XtoolError:
        raise
    except FileNotFoundError:
        raise DataError(name, "no such file") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(name, f"more pixels than the limit of {max_pixels} ({error})") from error
    except UnidentifiedImageError as error:
        raise DataError(name, "not an image in a known format") from error
    except Exception as error:  # over damaged bytes, decoders raise whatever they like
        raise DataError(name, f"cannot be decoded ({str(error) or type(error).__name__})") from error


def _readable(source: Source, name: str) -> Path | IO[bytes]:
    if isinstance(source, bytes):
        return BytesIO(source)
    if not isinstance(source, str | PathLike):
        return source
    path = Path(source)
    if not path.is_file() and path.exists():  # opening a pipe would wait for its writer for ever
        raise DataError(name, "is a folder" if path.is_dir() else "is a pipe, a device or a socket, not a file")
    return path


def _stored_size(picture: Image.Image) -> tuple[int, int]:
    tags = getattr(picture, "tag_v2", None)
    # Recent Pillow gives a TIFF's upright size; its tags 256 and 257 hold the stored one in all versions.
    return (int(tags[256]), int(tags[257])) if tags is not None and 256 in tags else picture.size


def _name(source: Source | Image.Image) -> str:
    if isinstance(source, Image.Image):
        return str(getattr(source, "filename", "")) or "PIL image"
    if isinstance(source, bytes):
        return "image in memory"
    if isinstance(source, str | PathLike):
        return fspath(source)
    return str(getattr(source, "name", "image stream"))


def _rgb(picture: Image.Image) -> Image.Image:
    if picture.mode == "RGB":
        return picture
    width, height = picture.size
    rows = max(1, STRIP // max(width, 1))
    whole = Image.new("RGB", picture.size)
    for top in range(0, height, rows):
        whole.paste(_strip_as_rgb(picture.crop((0, top, width, min(top + rows, height)))), (0, top))
    return whole


def _strip_as_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode in ("I", "F") or picture.mode.startswith("I;16"):
        return _eight_bits(picture).convert("RGB")
    if picture.has_transparency_data:
        # Dropping alpha would show whatever colour lies under it; palettes often hide magenta there.
        opaque = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(opaque, picture.convert("RGBA")).convert("RGB")
    return picture.convert("RGB")


def _eight_bits(picture: Image.Image) -> Image.Image:
    """Pillow clips 16 bits to 8, so that nearly all of the picture turns white; scale instead."""
    values = np.asarray(picture, np.float64)
    top = 1.0 if picture.mode == "F" else 65535.0
    if not (values.min() >= 0 and values.max() <= top):
        raise ValueError(f"values of mode {picture.mode} outside 0 to {top:g} have no known scale")
    return Image.fromarray(np.round(values * (255 / top)).astype(np.uint8))
