"""The options of VL-Score."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from xtool.config import FeatureConfig


class VLScoreConfig(FeatureConfig):
    """Options of VL-Score. The preset ``seed`` is the seed article's published code, exactly."""

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "seed": {
            "cap": True,
            "shift": True,
            "softmax": True,
            "temperature": 1.0,
            "base": "zero",
            "align_corners": True,
        },
    }

    cap: bool = Field(True, description="Keep only the maps whose masked image beats the base image.")
    shift: bool = Field(True, description="Subtract the base image's score (no effect under softmax).")
    softmax: bool = Field(True, description="Weigh by a softmax over the kept maps instead of by the score itself.")
    temperature: float = Field(
        0.02, gt=0, description="Divides the scores (cosines); small is sharp. The article's code has 1."
    )
    base: Literal["zero", "mean", "blur"] = Field(
        "zero", description="What a masked-out pixel becomes: the data's mean colour, the image's mean colour, a blur."
    )
    align_corners: bool = Field(True, description="Of the upsampling of the masks.")
    top_k: int | None = Field(
        None, ge=1, description="Score only the k maps with the largest mean gradient for the text, as gScoreCAM."
    )
    batch: int | None = Field(None, ge=1, description="Masked images per forward pass; by default set by the device.")
