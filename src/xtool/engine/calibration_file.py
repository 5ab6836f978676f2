"""Calibrations in a file, each of one encoder: ``xtool calibrate`` writes it, ``--calibration`` reads it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from xtool.contracts.protocols import Calibration
from xtool.errors import RunError, UsageError, regular

if TYPE_CHECKING:
    from xtool.contracts.protocols import EncoderInfo

__all__ = ["Bounds", "CalibratedEncoder", "CalibrationFile", "write_calibrations"]

SCHEMA_VERSION: Final = 1


class CalibratedEncoder(BaseModel):
    """Whose evidence it was."""

    model_config = ConfigDict(frozen=True)

    name: str
    weights: str
    sha256: str | None
    input_size: tuple[int, int]
    """Height and width."""

    def differences(self, other: EncoderInfo) -> list[str]:
        """What is different in a loaded encoder, in words."""
        found = []
        if self.name != other.name:
            found.append(f"it is for {self.name}, and this is {other.name}")
        elif (self.sha256 or self.weights) != (other.weights_sha256 or other.weights):
            found.append(f"it is for the weights {self.weights}, and these are {other.weights} with other contents")
        if self.input_size != other.input_size:
            found.append(
                f"it is for an input of {_size(self.input_size)} pixels, and this is {_size(other.input_size)}"
            )
        return found


class Bounds(BaseModel):
    """One method's calibration, and how good it is."""

    model_config = ConfigDict(frozen=True)

    method: str
    options: dict[str, Any]
    """What the evidence depends on, every option by name."""
    bar: float
    absent_below: float
    present_above: float
    balanced_accuracy: float
    """Of the bar on images that did not choose it."""
    interval: tuple[float, float]
    """95 %."""
    images: int
    samples: int
    """A sample is one true text and one absent text; an image may give several."""

    def calibration(self) -> Calibration:
        return Calibration(
            method=self.method,
            options=self.options,
            bar=self.bar,
            absent_below=self.absent_below,
            present_above=self.present_above,
        )


class CalibrationFile(BaseModel):
    """The whole file."""

    model_config = ConfigDict(frozen=True)

    schema_version: Literal[1] = SCHEMA_VERSION
    encoder: CalibratedEncoder
    datasets: list[str]
    """With splits; no results on these may be reported with this calibration."""
    bounds: list[Bounds] = Field(min_length=1)

    @classmethod
    def read(cls, path: str | Path) -> CalibrationFile:
        """Raises :class:`UsageError` for what is not such a file."""
        try:
            return cls.model_validate(json.loads(regular(Path(path)).read_text("utf-8")))
        except OSError as error:
            raise UsageError(f"the calibration {path} cannot be read: {error.strerror or error}") from error
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "file"
            raise UsageError(
                f"{path} is not a calibration file as `xtool calibrate` writes it: {where}: {first['msg']}"
            ) from error
        except (ValueError, RecursionError) as error:
            raise UsageError(f"{path} is not a calibration file as `xtool calibrate` writes it: {error}") from error

    def for_encoder(self, encoder: EncoderInfo, path: str | Path) -> tuple[Calibration, ...]:
        """Its calibrations. Raises :class:`UsageError`, saying what is different, for another encoder."""
        different = self.encoder.differences(encoder)
        if different:
            raise UsageError(f"the calibration {path} does not fit: {'; '.join(different)}")
        return tuple(bounds.calibration() for bounds in self.bounds)


def write_calibrations(path: Path, file: CalibrationFile) -> None:
    """Raises :class:`RunError` where it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(file.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n", "utf-8")
    except OSError as error:
        raise RunError(f"{path} cannot be written: {error.strerror or error}") from error


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]}×{size[1]}"
