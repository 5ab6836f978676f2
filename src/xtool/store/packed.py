"""Many numbers as a short text for a line of JSON: compressed with zlib, then base64."""

from __future__ import annotations

import base64
import binascii
import math
import zlib
from typing import Annotated, Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, FiniteFloat, PositiveInt, model_validator

__all__ = ["MAPS", "Maps", "Packed", "PackedMap", "PackedNumbers", "kept"]

Maps = Literal["none", "low", "full"]
"""What a run keeps of maps: nothing, 16 bits of each value, or all 32. ``none`` scores what ``low`` scores."""
MAPS: tuple[Maps, ...] = get_args(Maps)

LEVELS = 65535
"""Steps between the lowest and the highest value of a map in 16 bits."""
MOST = 1 << 28
"""No run writes as many bytes in one place; a text that claims to hold more is not unpacked."""


class Packed(BaseModel):
    """Finite numbers of any shape, each in all its bits."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["float64", "float32", "uint8", "uint16", "uint32", "int64"]
    shape: tuple[PositiveInt, ...]
    data: str

    @model_validator(mode="after")
    def _holds_numbers(self) -> Packed:
        if not np.isfinite(self.unpack()).all():
            raise ValueError("values are not finite")
        return self

    @classmethod
    def pack(cls, numbers: ArrayLike) -> Packed:
        """From numbers that are not empty; counts in the smallest type that holds them all.

        Raises :class:`ValueError` for what is no number.
        """
        values = np.asarray(numbers)
        if values.dtype.kind in "iu" and values.min() >= 0:
            values = values.astype(np.min_scalar_type(values.max()))
        if values.dtype.name not in ("float32", "uint8", "uint16", "uint32"):
            try:
                values = values.astype(np.int64 if values.dtype.kind in "iub" else np.float64)
            except (TypeError, OverflowError) as error:
                raise ValueError(str(error)) from error
        return cls.model_validate({"type": values.dtype.name, "shape": values.shape, "data": _text(values)})

    def unpack(self) -> NDArray[Any]:
        """The numbers as they were."""
        return _numbers(self.data, self.type, self.shape)


class PackedMap(BaseModel):
    """A map [h, w] as text: all 32 bits of each value, or 16 bits between the lowest and the highest.

    16 bits are off by at most 1/131,070 of the map's span, beside float32's own rounding. What was unpacked packs into
    the same map again, so that a run that rounds its maps before it scores them can repeat its numbers from them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["uint16", "float32"]
    shape: tuple[PositiveInt, PositiveInt]
    low: FiniteFloat | None = None
    high: FiniteFloat | None = None
    """The values that 0 and 65535 stand for; ``None`` in 32 bits."""
    data: str

    @model_validator(mode="after")
    def _is_a_map(self) -> PackedMap:
        if self.type == "uint16" and (self.low is None or self.high is None):
            raise ValueError("16 bits need the values that they lie between")
        if not np.isfinite(self.unpack()).all():
            raise ValueError("values are not finite")
        return self

    @classmethod
    def pack(cls, values: NDArray[np.float32], maps: Maps = "low") -> PackedMap:
        """From a finite map [h, w]. Raises :class:`ValueError` for one that is not."""
        if not np.isfinite(values).all():
            raise ValueError("values are not finite")
        if maps == "full":
            told: dict[str, Any] = {"type": "float32", "data": _text(values.astype(np.float32))}
        else:
            levels, low, high = _levels(values)
            told = {"type": "uint16", "low": low, "high": high, "data": _text(levels)}
        return cls.model_validate({"shape": values.shape, **told})

    def unpack(self) -> NDArray[np.float32]:
        """[h, w] the map."""
        values = _numbers(self.data, self.type, self.shape)
        if self.low is None or self.high is None:
            return values.astype(np.float32)
        return _between(values, self.low, self.high)


def kept(values: NDArray[np.float32], maps: Maps) -> NDArray[np.float32]:
    """The finite map [h, w] that a run scores, in as many bits as its records can hold."""
    return values if maps == "full" else _between(*_levels(values))


def _levels(values: NDArray[np.float32]) -> tuple[NDArray[np.uint16], float, float]:
    """Of a finite map, in 16 bits, and the lowest and the highest value."""
    low, high = float(values.min()), float(values.max())
    share = (values.astype(np.float64) - low) / ((high - low) or 1.0)
    return np.rint(share * LEVELS).astype(np.uint16), low, high


def _between(levels: NDArray[Any], low: float, high: float) -> NDArray[np.float32]:
    values: NDArray[np.float32] = (low + levels / LEVELS * (high - low)).astype(np.float32)
    return values


def _pack_list(given: object) -> object:
    return Packed.pack(given) if isinstance(given, list | tuple | np.ndarray) and len(given) else given


PackedNumbers = Annotated[Packed, BeforeValidator(_pack_list)]
"""A list of numbers is packed where it is given."""


def _text(values: NDArray[Any]) -> str:
    data = np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes()
    return base64.b64encode(zlib.compress(data)).decode("ascii")


def _numbers(text: str, name: str, shape: tuple[int, ...]) -> NDArray[Any]:
    dtype = np.dtype(name).newbyteorder("<")
    size = math.prod(shape) * dtype.itemsize
    if size > MOST:
        raise ValueError(f"a shape of {shape} is too large")
    try:
        # No more than is expected, or a few bytes could unpack into all memory.
        data = zlib.decompressobj().decompress(base64.b64decode(text, validate=True), size + 1)
    except (zlib.error, binascii.Error, ValueError) as error:
        raise ValueError(f"data are damaged: {error}") from None
    if len(data) != size:
        raise ValueError(f"data are not those of the shape {shape}")
    return np.frombuffer(data, dtype).reshape(shape)
