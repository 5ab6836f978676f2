"""Whether pixels are of the size that an encoder takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from xtool.contracts.protocols import EncoderInfo

__all__ = ["check_pixels"]


def check_pixels(info: EncoderInfo, pixels: Tensor) -> None:
    """Raise :class:`ValueError` unless pixels are [B, 3, H, W] with H and W of ``info.input_size``.

    For towers with positions that are learnt, which fit no other size, and whose own error would not say so.
    """
    height, width = info.input_size
    if pixels.ndim != 4 or tuple(pixels.shape[1:]) != (3, height, width):
        raise ValueError(f"{info.name} takes pixels [B, 3, {height}, {width}], not {list(pixels.shape)}")
