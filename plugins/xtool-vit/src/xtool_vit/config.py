"""Options of the methods."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

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

Common = Literal["keep", "empty", "bank", "weighted"]
_COMMON = (
    "What counts as said by every text, and is subtracted: nothing (keep), the empty text's part (empty), the mean of a "
    "fixed bank of texts (bank), or that mean by how much the image shows of each (weighted)."
)


class DenseConfig(MethodConfig):
    """Options of the dense family: how the last block mixes its values, and what is kept of it.

    Each preset is one published method; the defaults are our own choice (``docs/howto/transformers.md``).
    """

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "maskclip": {"attention": "identity", "residual": False, "feed_forward": False, "common": "keep"},
        "value": {"attention": "identity", "residual": True, "feed_forward": True, "common": "keep"},
        "sclip": {"attention": "qq+kk", "residual": True, "feed_forward": True, "common": "keep"},
        "clearclip": {"attention": "qq", "residual": False, "feed_forward": False, "common": "keep"},
        "naclip": {"attention": "kk", "locality": 5.0, "residual": False, "feed_forward": False, "common": "keep"},
        "cliper": {
            "attention": "fused",
            "inputs": "all",
            "residual": False,
            "feed_forward": False,
            "common": "keep",
        },
    }

    attention: Literal["identity", "own", "qq", "kk", "vv", "qq+kk", "xx", "fused"] = Field(
        "identity",
        description="How values are mixed: not at all (identity), by the block's own attention (own), by how alike "
        "queries, keys, values or the tokens (xx) are, by the sum of two of these, or by the attention of all earlier "
        "blocks (fused).",
    )
    locality: float | None = Field(
        None,
        gt=0,
        description="Favour near patches: a Gaussian of this many patches is added before the softmax; none for none. "
        "Without effect on identity and fused.",
    )
    residual: bool = Field(False, description="Add what went into the block.")
    feed_forward: bool = Field(False, description="Add the block's second branch.")
    rotation: Literal["after", "before"] = Field(
        "after",
        description="Whether queries and keys are compared after or before they are rotated, where a tower rotates "
        "them by position.",
    )
    inputs: Literal["last", "all"] = Field(
        "last",
        description="What goes into the last block: its own input, or also the normalised input of every earlier block, "
        "of whose maps the mean is taken.",
    )
    common: Common = Field("empty", description=_COMMON)


class SurgeryConfig(MethodConfig):
    """Options of CLIP Surgery. The defaults are those of the paper, for a single text."""

    blocks: int = Field(6, ge=1, description="Blocks with value–value attention, counted from the last.")
    common: Common = Field("empty", description=_COMMON)


class GemConfig(MethodConfig):
    """Options of GEM. The preset ``paper`` has those of the paper; the defaults differ in what every text shows."""

    presets: ClassVar[dict[str, dict[str, Any]]] = {"paper": {"depth": 7, "iterations": 1, "common": "keep"}}

    depth: int = Field(7, ge=2, description="One more than the number of blocks, counted from the last, that gather.")
    iterations: int = Field(1, ge=0, description="How often queries, keys and values are grouped before.")
    common: Common = Field("keep", description=_COMMON)


class PrsConfig(MethodConfig):
    """Options of the decomposition. All blocks count, as in the paper."""

    blocks: int | None = Field(None, ge=1, description="Blocks that count, from the last; none for all.")
    common: Common = Field("bank", description=_COMMON)
