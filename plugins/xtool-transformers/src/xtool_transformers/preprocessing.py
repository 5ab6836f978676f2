"""What a model's own image processor does to pixels, read from its file: size, mean and standard deviation.

The processor itself is not needed: it would resize and crop, which xtool does in a way that can be mapped back.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xtool.plugin import SetupError

__all__ = ["CLIP_NORM", "HALF_NORM", "Preprocessing", "Triple", "read_preprocessing"]

Triple = tuple[float, float, float]

FILES = ("processor_config.json", "preprocessor_config.json")
"""The first holds the image processor's settings since transformers 5, under its own key; the second before that."""

CLIP_NORM: tuple[Triple, Triple] = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
HALF_NORM: tuple[Triple, Triple] = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """For pixels in [0, 1]."""

    mean: Triple
    std: Triple
    size: tuple[int, int] | None
    """Height and width after resizing and cropping; ``None`` where the file does not say."""


def read_preprocessing(folder: Path, name: str, usual: tuple[Triple, Triple]) -> Preprocessing:
    """Read the settings of the image processor in a model's folder.

    Args:
        folder: with one of :data:`FILES`.
        name: of the model, for errors.
        usual: mean and standard deviation that this kind of processor has where its file gives none.

    Raises :class:`xtool.plugin.SetupError` for a file that is missing or makes no sense.
    """
    settings = _settings(folder, name)
    try:
        mean, std = _normalisation(settings, usual)
        return Preprocessing(mean, std, _size(settings))
    except (TypeError, ValueError, KeyError, ZeroDivisionError) as error:
        raise SetupError(f"{name}: the image processor in {folder} has settings that make no sense: {error}") from error


def _settings(folder: Path, name: str) -> dict[str, Any]:
    for file in FILES:
        path = folder / file
        if not path.is_file():
            continue
        try:
            content = dict(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise SetupError(f"{name}: cannot read {path}: {error}") from error
        settings = content.get("image_processor") if file == FILES[0] else content
        if settings is not None:
            return dict(settings)
    raise SetupError(
        f"{name}: {folder} has no {FILES[1]}, so how the model wants its pixels is unknown; save its processor there: "
        "AutoProcessor.from_pretrained(ORIGINAL).save_pretrained(FOLDER)"
    )


def _normalisation(settings: dict[str, Any], usual: tuple[Triple, Triple]) -> tuple[Triple, Triple]:
    """Of what the processor does one after the other: rescale, shift to [-1, 1], normalise."""
    mean, std = settings.get("image_mean") or usual[0], settings.get("image_std") or usual[1]
    again = std if settings.get("include_top") else (1.0, 1.0, 1.0)  # EfficientNet's divides once more, then
    if not settings.get("do_normalize", True):
        mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    factor = 255 * float(settings.get("rescale_factor", 1 / 255)) if settings.get("do_rescale", True) else 255.0
    shift = 1.0 if settings.get("rescale_offset") else 0.0
    return _triple((value + shift) / factor for value in mean), _triple(
        value * more / factor for value, more in zip(std, again, strict=True)
    )


def _size(settings: dict[str, Any]) -> tuple[int, int] | None:
    size = settings.get("crop_size" if settings.get("do_center_crop") else "size")
    if isinstance(size, dict):
        side = size.get("shortest_edge")
        return (int(side), int(side)) if side else (int(size["height"]), int(size["width"]))
    return None if size is None else (int(size), int(size))


def _triple(values: Any) -> Triple:
    first, second, third = (round(float(value), 8) for value in values)
    return first, second, third
