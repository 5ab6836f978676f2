"""Arrays and tensors as pictures: interpreted by their shape, type and range, without guessing."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from xtool.errors import UsageError

if TYPE_CHECKING:
    from typing import TypeGuard

    from torch import Tensor

__all__ = ["array_to_image", "is_tensor", "tensor_to_array"]

SHAPES = "an image has the shape [H, W], [H, W, 3] or [H, W, 4]"
TOP = {"uint8": 255.0, "uint16": 65535.0, "float16": 1.0, "float32": 1.0, "float64": 1.0}


def array_to_image(values: NDArray[Any]) -> Image.Image:
    """[H, W] grey, [H, W, 3] RGB or [H, W, 4] RGBA; uint8, uint16 or floats from 0 to 1. Raises :class:`UsageError`."""
    if values.ndim == 4:
        raise UsageError(f"an array of shape {values.shape} contains several images; give a list of them")
    if values.ndim not in (2, 3) or (values.ndim == 3 and values.shape[2] not in (3, 4)) or 0 in values.shape:
        raise UsageError(f"an array of shape {values.shape} is not an image: {SHAPES}")
    top = TOP.get(values.dtype.name)
    if top is None:
        raise UsageError(f"an image of {values.dtype} has no known scale; give uint8, uint16, or floats from 0 to 1")
    if values.dtype == np.uint8:
        return Image.fromarray(np.ascontiguousarray(values))
    wide = values.astype(np.float64)
    if not (wide.min() >= 0 and wide.max() <= top):  # written so that NaN is refused
        raise UsageError(
            f"an image of {values.dtype} must lie between 0 and 1; this one lies between {wide.min():.3g} and "
            f"{wide.max():.3g} (normalised pixels? give the image before normalisation)"
        )
    return Image.fromarray(np.rint(wide * (255 / top)).astype(np.uint8))


def is_tensor(source: object) -> TypeGuard[Tensor]:
    """Whether it is a torch tensor; torch is not imported to find out."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(source, torch.Tensor)


def tensor_to_array(tensor: Tensor) -> NDArray[Any]:
    """[C, H, W] or [H, W, C] or [H, W] -> an array with channels last, for :func:`array_to_image`.

    Raises :class:`UsageError` for a shape that could be read both ways.
    """
    shape = tuple(tensor.shape)
    if tensor.ndim == 4:
        raise UsageError(f"a tensor of shape {shape} contains several images; give a list of them")
    plain = tensor.detach().cpu()
    values: NDArray[Any] = (plain.float() if plain.is_floating_point() else plain).numpy()
    if tensor.ndim != 3:
        return values
    first, last = shape[0] in (1, 3, 4), shape[2] in (3, 4)
    if first and last:
        raise UsageError(f"a tensor of shape {shape} may be [C, H, W] or [H, W, C]; give a NumPy array [H, W, C]")
    if first:
        return values[0] if shape[0] == 1 else values.transpose(1, 2, 0)
    if last:
        return values
    raise UsageError(
        f"a tensor of shape {shape} is not an image: give [C, H, W] or [H, W, C] with 3 or 4 channels, or [H, W]"
    )
