"""Model input <-> image coordinates for squash, crop and pad, exact both ways.

Coordinates are continuous: pixel ``i`` covers ``[i, i + 1)`` and has its centre at ``i + 0.5``, in the image, in the
model input and in low-resolution maps alike. A box that covers the whole image is ``(0, 0, width, height)``.
Each axis is one affine map, ``input = image * scale + offset``, and it is the map that the pixels really go
through: nothing is rounded afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["FITS", "Fit", "Geometry"]

Fit = Literal["squash", "crop", "pad"]
FITS: tuple[Fit, ...] = get_args(Fit)

Floats = NDArray[np.float64]
Maps = NDArray[np.float32]

ONE_THREAD = 1 << 18
"""Multiplications up to which OpenBLAS, which NumPy comes with, shares a product of matrices with no other thread."""
THIN = 64
"""Columns of a matrix up to which a few rows at a time make a product within that; most maps are no larger."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """How one image fills a model's input. Made by :meth:`of`.

    - ``squash`` resizes the whole image to the input; each axis has its own scale.
    - ``crop`` keeps the aspect ratio and the centre; the model does not see what lies outside.
    - ``pad`` keeps the whole image, centred, and fills up with a colour. The image takes a whole number of input
      pixels, so that no input pixel mixes image and padding; its scales may therefore differ by a part of a pixel.
    """

    image_size: tuple[int, int]
    """(width, height) of the image, in pixels."""
    input_size: tuple[int, int]
    """(H, W) of the model input, in pixels."""
    fit: Fit
    scale: tuple[float, float]
    """Input pixels per image pixel, (x, y)."""
    offset: tuple[float, float]
    """Where the image's corner (0, 0) lies in the input, (x, y)."""

    @classmethod
    def of(cls, image_size: tuple[int, int], input_size: tuple[int, int], fit: Fit = "squash") -> Geometry:
        """Geometry of an image of ``image_size`` (width, height) in an input of ``input_size`` (H, W).

        Raises :class:`ValueError` for an empty size or an unknown fit.
        """
        (width, height), (rows, columns) = image_size, input_size
        if min(width, height, rows, columns) < 1:
            raise ValueError(f"sizes must be positive, got image {image_size} and input {input_size}")
        across, down = columns / width, rows / height
        if fit == "squash":
            return cls(image_size, input_size, fit, (across, down), (0.0, 0.0))
        if fit == "crop":
            zoom = max(across, down)
            return cls(
                image_size, input_size, fit, (zoom, zoom), (_centre(columns, width, zoom), _centre(rows, height, zoom))
            )
        if fit == "pad":
            zoom = min(across, down)
            wide, high = max(1, round(width * zoom)), max(1, round(height * zoom))
            corner = (float((columns - wide) // 2), float((rows - high) // 2))
            return cls(image_size, input_size, fit, (wide / width, high / height), corner)
        raise ValueError(f"unknown fit {fit!r}; choose one of {', '.join(FITS)}")

    def fit_image(self, image: Image.Image, fill: tuple[int, int, int] = (0, 0, 0)) -> Image.Image:
        """The model input as a picture: bicubic and antialiased, as CLIP was trained.

        ``fill`` is the padding's colour, 0 to 255 (take the model's mean, so that padding is 0 once normalised).
        Raises :class:`ValueError` when ``image`` is not of ``image_size``.
        """
        from PIL import Image

        if image.size != self.image_size:
            raise ValueError(f"the image is {image.size}, this geometry is for {self.image_size}")
        rows, columns = self.input_size
        if self.fit != "pad":
            # A float box: Pillow resamples exactly this part of the image, so that crop needs no rounding.
            x0, y0, x1, y1 = self.visible
            return image.resize((columns, rows), Image.Resampling.BICUBIC, box=(x0, y0, x1, y1))
        x0, y0, x1, y1 = (round(v) for v in self.boxes_to_input((0, 0, *self.image_size)))
        canvas = Image.new(image.mode, (columns, rows), fill)
        canvas.paste(image.resize((x1 - x0, y1 - y0), Image.Resampling.BICUBIC), (x0, y0))
        return canvas

    @property
    def visible(self) -> tuple[float, float, float, float]:
        """The part of the image that the model sees, as an (x0, y0, x1, y1) box in image pixels."""
        rows, columns = self.input_size
        x0, y0, x1, y1 = self.boxes_to_image((0, 0, columns, rows), clip=True).tolist()
        return x0, y0, x1, y1

    def points_to_input(self, points: ArrayLike) -> Floats:
        """Map [..., 2] image points (x, y) to the input. Points outside stay outside."""
        return np.asarray(points, np.float64) * self.scale + self.offset

    def points_to_image(self, points: ArrayLike) -> Floats:
        """Map [..., 2] input points (x, y) to the image. Points outside stay outside."""
        return (np.asarray(points, np.float64) - self.offset) / self.scale

    def boxes_to_input(self, boxes: ArrayLike, *, clip: bool = False) -> Floats:
        """Map [..., 4] image boxes (x0, y0, x1, y1) to the input; ``clip`` cuts them at its border."""
        mapped = _corners(boxes) * self.scale + self.offset
        rows, columns = self.input_size
        return _boxes(mapped, (columns, rows) if clip else None)

    def boxes_to_image(self, boxes: ArrayLike, *, clip: bool = False) -> Floats:
        """Map [..., 4] input boxes (x0, y0, x1, y1) to the image; ``clip`` cuts them at its border."""
        mapped = (_corners(boxes) - self.offset) / self.scale
        return _boxes(mapped, self.image_size if clip else None)

    def map_to_image(self, low: NDArray[Any]) -> Maps:
        """Resample maps [..., h, w] that cover the model input to [..., height, width] float32, in one step.

        Bilinear between cell centres, with the border cells continued outwards (torch's ``align_corners=False``).
        Image pixels that the model did not see (``crop``) are 0; padding is cut away.
        """
        height, width = low.shape[-2:]
        rows, columns = _interpolation(self, height, width)
        # Two thin matrices: for a 7x7 map this is a hundred times less work than gathering four taps per pixel.
        return _product(rows, _product(low.astype(np.float32, copy=False), columns.T))

    def map_to_input(self, full: NDArray[Any]) -> Maps:
        """Average image-resolution maps or masks [..., height, width] over each input pixel: [..., H, W] float32.

        Each input pixel gets the mean of the area of the image that it covers; what it covers outside the image
        counts as 0. Raises :class:`ValueError` when ``full`` is not of ``image_size``.
        """
        width, height = self.image_size
        if full.shape[-2:] != (height, width):
            raise ValueError(f"the map is {full.shape[-2:]}, the image is {(height, width)} (height, width)")
        rows, columns = _averaging(self)
        result: Maps = (rows @ full.astype(np.float32, copy=False)) @ columns.T
        return result


def _product(left: Maps, right: Maps) -> Maps:
    """``left @ right``, of matrices that are thin a few rows at a time, so that BLAS keeps to one thread.

    Its other threads would look for more work for a while, at the expense of those that run the image tower: in a
    comparison on two cores that took a quarter of the processor's time.
    """
    if left.shape[-1] > THIN:
        whole: Maps = left @ right
        return whole
    step = max(2, ONE_THREAD // (left.shape[-1] * right.shape[-1]))
    many = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    product = np.empty((*many, left.shape[-2], right.shape[-1]), np.float32)
    for row in range(0, left.shape[-2], step):
        np.matmul(left[..., row : row + step, :], right, out=product[..., row : row + step, :])
    return product


def _centre(room: int, length: int, zoom: float) -> float:
    return (room - length * zoom) / 2


def _corners(boxes: ArrayLike) -> Floats:
    array = np.asarray(boxes, np.float64)
    return array.reshape(*array.shape[:-1], 2, 2)


def _boxes(corners: Floats, limit: tuple[int, int] | None) -> Floats:
    if limit is not None:
        corners = np.clip(corners, 0.0, np.asarray(limit, np.float64))
    return corners.reshape(*corners.shape[:-2], 4)


@lru_cache(maxsize=64)
def _interpolation(geometry: Geometry, height: int, width: int) -> tuple[Maps, Maps]:
    """Matrices [image height, height] and [image width, width] of :meth:`Geometry.map_to_image`."""
    (image_width, image_height), (rows, columns) = geometry.image_size, geometry.input_size
    return (
        _taps(image_height, geometry.scale[1], geometry.offset[1], rows, height),
        _taps(image_width, geometry.scale[0], geometry.offset[0], columns, width),
    )


def _taps(length: int, scale: float, offset: float, room: int, cells: int) -> Maps:
    """Two weights per image pixel: which of the ``cells`` along the input's ``room`` its centre lies between."""
    seen = (np.arange(length) + 0.5) * scale + offset
    position = np.clip(seen * (cells / room) - 0.5, 0, cells - 1)
    left = np.minimum(position.astype(np.intp), max(cells - 2, 0))
    right = np.minimum(left + 1, cells - 1)
    weights = np.zeros((length, cells))
    pixel = np.arange(length)
    weights[pixel, left] = 1 - (position - left)
    weights[pixel, right] += position - left
    # Zero only what lies wholly outside: a thin crop may hold no pixel's centre at all.
    half = scale * (0.5 - 1e-6)
    weights[(seen + half < 0) | (seen - half > room)] = 0
    return weights.astype(np.float32)


@lru_cache(maxsize=8)
def _averaging(geometry: Geometry) -> tuple[Maps, Maps]:
    """Matrices [H, image height] and [W, image width] of :meth:`Geometry.map_to_input`."""
    (width, height), (rows, columns) = geometry.image_size, geometry.input_size
    return (
        _overlaps(rows, height, geometry.scale[1], geometry.offset[1]),
        _overlaps(columns, width, geometry.scale[0], geometry.offset[0]),
    )


def _overlaps(room: int, length: int, scale: float, offset: float) -> Maps:
    """The share of each input pixel's extent that each image pixel takes."""
    edges = (np.arange(room + 1) - offset) / scale
    pixels = np.arange(length)
    start = np.maximum(edges[:-1, None], pixels)
    stop = np.minimum(edges[1:, None], pixels + 1)
    weights: Maps = (np.clip(stop - start, 0, None) * scale).astype(np.float32)
    return weights
