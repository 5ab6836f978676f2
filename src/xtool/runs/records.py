"""What a run writes down: one record per image × method, or why an image could not be used.

Records of the first version, which named each metric's entries on its own, are read as the present one.
"""

from __future__ import annotations

import base64
import json
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, PositiveInt, ValidationError, model_validator

__all__ = ["Failure", "PackedMap", "Record", "parse_line", "storable", "to_line"]

Index = Annotated[int, Field(ge=0)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class PackedMap(BaseModel):
    """A low-resolution map as text: finite float32, little-endian, base64."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    shape: tuple[PositiveInt, PositiveInt]
    data: str

    @model_validator(mode="after")
    def _is_a_map(self) -> PackedMap:
        if not np.isfinite(self.unpack()).all():
            raise ValueError("values are not finite")
        return self

    @classmethod
    def pack(cls, low: NDArray[np.float32]) -> PackedMap:
        """From a map [h, w]."""
        height, width = low.shape
        return cls(
            shape=(height, width), data=base64.b64encode(np.ascontiguousarray(low, "<f4").tobytes()).decode("ascii")
        )

    def unpack(self) -> NDArray[np.float32]:
        """[h, w] the map as it was."""
        low: NDArray[np.float32] = np.frombuffer(base64.b64decode(self.data), "<f4").reshape(self.shape).copy()
        return low


class Record(BaseModel):
    """One method's answer for one sample, and what was measured of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    index: Index
    """Of the sample in its data set."""
    image: str
    """The sample's id."""
    method: str
    """The label of the method's row."""
    label: str
    """What was looked for."""
    rank: PositiveInt | None
    """Rank of the true class, from 1; ``None`` without classes."""
    image_size: tuple[PositiveInt, PositiveInt]
    """Width and height."""
    true_boxes: list[tuple[FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat]]
    """Half-open, in image pixels."""
    ious: list[FiniteFloat]
    """Best IoU of any predicted with any true box, at each threshold of the run's protocol."""
    present: bool | None
    """The verdict on the label; ``None`` from a method that cannot tell."""
    score: FiniteFloat | None
    """The evidence behind it."""
    map: PackedMap
    """The label's map, raw, so that any other protocol can be computed later."""
    values: dict[str, Any]
    """What each metric measured, by its name."""
    seconds: Amount
    """Of the label's map, with shared work charged in full."""
    forwards: Amount
    """Images through the image tower, likewise."""
    seconds_here: Amount
    """What it really took."""
    encoder_seconds_here: Amount


class Failure(BaseModel):
    """An image that could not be used, or that one method failed on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    index: Index
    image: str
    """The file, or the sample's id."""
    error: str
    """The reason."""
    method: str | None = None
    """The label of the method's row; ``None`` where no method could use the image."""


def storable(text: str) -> str:
    """A name as text that a file can hold: bytes that are no UTF-8 in a file's name are written as ``\\udcff``."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def to_line(record: Record | Failure) -> bytes:
    """One line of ``records.jsonl``. Raises :class:`ValueError` for a number that JSON has not: NaN or infinity."""
    told = record.model_dump(mode="python")
    return json.dumps(told, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def parse_line(line: bytes, schema_version: int) -> Record | Failure:
    """The record of one line. Raises :class:`ValueError`, saying what is wrong, for a line that is none."""
    try:
        found = json.loads(line, parse_constant=_refused)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(found, dict):
        raise ValueError("it is not a JSON object")
    try:
        if "error" in found:
            return Failure.model_validate(found)
        return Record.model_validate(_from_version_1(found) if schema_version == 1 else found)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def _refused(constant: str) -> None:
    raise ValueError(f"it holds {constant}, which is no number")


def _from_version_1(old: dict[str, Any]) -> dict[str, Any]:
    kept = {name: old[name] for name in Record.model_fields if name in old}
    values: dict[str, Any] = {name: old[name] for name in ("pointing", "pxap", "insertion", "deletion") if name in old}
    if "swapped_ious" in old:
        values["swapped"] = old["swapped_ious"]
    score = old.get("score")
    if score is None:  # a method without evidence said "present" to everything
        return {**kept, "present": None, "values": values}
    if old.get("absent_score") is not None:
        values["presence"] = [old["present"], old["absent_present"]]
        values["presence_auroc"] = [score, old["absent_score"]]
    return {**kept, "values": values}
