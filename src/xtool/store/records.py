"""What a run writes down: one record per image × method, or why an image could not be used.

Records of earlier versions are read as the present one: the first named each metric's entries on its own, and until
the third IoUs were lists and maps were not compressed.
"""

from __future__ import annotations

import base64
import json
import math
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, PositiveInt, ValidationError, field_validator

from xtool.store.packed import Packed, PackedMap, PackedNumbers

__all__ = ["Failure", "Record", "parse_line", "storable", "to_line"]

Index = Annotated[int, Field(ge=0)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]

LONG = 16
"""A metric's list of more numbers than this is packed."""


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
    ious: PackedNumbers
    """Best IoU of any predicted with any true box, at each threshold of the run's protocol."""
    present: bool | None
    """The verdict on the label; ``None`` from a method that cannot tell."""
    score: FiniteFloat | None
    """The evidence behind it."""
    map: PackedMap | None
    """The label's map, raw, as it was scored, so that any other protocol can be computed later; ``None`` from a run
    that keeps no maps."""
    values: dict[str, Any]
    """What each metric measured, by its name; many numbers as :class:`xtool.store.packed.Packed`."""
    seconds: Amount
    """Of the label's map, with shared work charged in full."""
    forwards: Amount
    """Images through the image tower, likewise."""
    seconds_here: Amount
    """What it really took."""
    encoder_seconds_here: Amount

    @field_validator("values")
    @classmethod
    def _packed(cls, values: dict[str, Any]) -> dict[str, Any]:
        return {name: _pack_long(value) for name, value in values.items()}


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
        if schema_version < 3:
            return _parse_earlier(line, schema_version)
        # A name cannot hold this: quotes within JSON's text are escaped.
        return Failure.model_validate_json(line) if b'"error":' in line else Record.model_validate_json(line)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(": ".join((*(str(part) for part in first["loc"][:1]), first["msg"]))) from error


def _pack_long(value: Any) -> Any:
    """A metric's value, with many numbers packed. Raises :class:`ValueError` for NaN and infinity."""
    if isinstance(value, Packed | dict):
        return Packed.model_validate(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} is no number that JSON has")
    if not isinstance(value, list):
        return value
    return Packed.pack(value) if np.size(value) > LONG else [_pack_long(part) for part in value]


def _parse_earlier(line: bytes, schema_version: int) -> Record | Failure:
    try:
        found = json.loads(line, parse_constant=_refused)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(found, dict):
        raise ValueError("it is not a JSON object")
    if "error" in found:
        return Failure.model_validate(found)
    told = _from_version_1(found) if schema_version == 1 else found
    return Record.model_validate({**told, "map": _map_from_version_2(told.get("map"))})


def _refused(constant: str) -> None:
    raise ValueError(f"it holds {constant}, which is no number")


def _map_from_version_2(old: Any) -> PackedMap:
    """Raises :class:`ValueError` for what is none."""
    try:
        values = np.frombuffer(base64.b64decode(old["data"], validate=True), "<f4").reshape(old["shape"])
        return PackedMap.pack(values.astype(np.float32), "full")
    except (TypeError, KeyError, OverflowError) as error:
        raise ValueError(f"map: {error}") from error


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
