"""Options of the methods."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from xtool.plugin import MethodConfig


class RawAttentionConfig(MethodConfig):
    """Options of the raw attention."""


class RolloutConfig(MethodConfig):
    """Options of attention rollout. The defaults are those of the paper."""

    heads: Literal["mean", "max", "min"] = Field("mean", description="How the heads of a block become one.")
    discard: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Fraction of a block's attention, the smallest, that counts as nothing; none in the paper.",
    )
    start: int = Field(0, ge=0, description="Block to begin with, from 0.")
