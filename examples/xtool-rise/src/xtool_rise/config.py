"""The options of RISE."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from xtool.plugin import MethodConfig


class RISEConfig(MethodConfig):
    """Options of RISE. The preset ``paper`` is what the paper runs on a ResNet-50."""

    presets: ClassVar[dict[str, dict[str, Any]]] = {"paper": {"masks": 8000, "centred": False}}

    masks: int = Field(1000, ge=1, description="Random masks, N; the paper takes 4,000 to 8,000.")
    grid: int = Field(7, ge=1, description="Cells of a mask along each side before it is enlarged.")
    keep: float = Field(0.5, gt=0, lt=1, description="Probability that a cell stays visible.")
    centred: bool = Field(
        True, description="Subtract the mean score: the same map in expectation, with far less noise of the sampling."
    )
    seed: int = Field(0, description="Seed of the masks, which are the same for every image.")
    batch: int | None = Field(None, ge=1, description="Masked images per forward pass; by default set by the device.")
