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


class LeGradConfig(MethodConfig):
    """Options of LeGrad. The defaults are those of the paper; the preset ``code`` is its repository's."""

    presets: ClassVar[dict[str, dict[str, Any]]] = {"code": {"layers": 2}}

    layers: int | None = Field(None, ge=1, description="How many of the last blocks are looked into; by default all.")
    sinks: float | Literal["auto"] | None = Field(
        "auto",
        description="Places where the map of an empty text exceeds this fraction of its range count as nothing: where "
        "SigLIP looks in every image. auto is the paper's 0.8 where an attention pools patches alone, and none "
        "elsewhere.",
    )


class GradECLIPConfig(MethodConfig):
    """Options of Grad-ECLIP."""

    heads: Literal["one", "model"] = Field(
        "one", description="The last attention: with one head, as in the paper's code, or as in the model."
    )


class CheferConfig(MethodConfig):
    """Options of Chefer's relevance. The default is the authors' for CLIP."""

    start_layer: int = Field(
        -1, description="Block from which relevance is followed; -1 is the last block alone, 0 all of them."
    )


class CLIPESConfig(MethodConfig):
    """Options of CLIP-ES. The preset ``paper`` spreads the map along the attention, as the paper does."""

    presets: ClassVar[dict[str, dict[str, Any]]] = {"paper": {"refine": "caa"}}

    background: str = Field(
        "ground|land|grass|tree|building|wall|sky|lake|water|river|sea|railway|railroad|keyboard|helmet|cloud|house|"
        "mountain|ocean|road|rock|street|valley|bridge|sign",
        description="Words that the text competes with, separated by |; the paper's, for photographs.",
    )
    template: str = Field(
        "a clean origami {label}.", description="What is read of a background word; {label} is the word."
    )
    same_above: float = Field(
        0.9, ge=0, le=1, description="A background word with a higher cosine than this means the text, and is left out."
    )


class M2IBConfig(MethodConfig):
    """Options of M2IB. The defaults are those of the paper for CLIP."""

    layer: str = Field(
        "auto", description="Block after which noise is added; auto is the paper's blocks.9 of 12, in proportion."
    )
    beta: float = Field(0.1, ge=0, description="How much information costs against the match; larger keeps less.")
    seed: int = Field(0, description="Seed of the noise.")


Common = Literal["keep", "empty", "bank", "weighted"]


class PatchConfig(MethodConfig):
    """Options of the methods that compare patches with texts without a gradient: what of a map is the text's own."""

    common: Common = Field(
        "bank",
        description="What counts as said by every text, and is subtracted: nothing (keep), the part of the "
        "empty text (empty), the mean of a fixed bank of texts (bank), or that mean by how much the image shows of "
        "each (weighted).",
    )
    above_mean: bool = Field(True, description="Only what exceeds the mean of its map counts.")


AS_PUBLISHED: dict[str, Any] = {"common": "keep", "above_mean": False}


UNALTERED: dict[str, Any] = {**AS_PUBLISHED, "sharpness": None}


class DenseConfig(PatchConfig):
    """Options of the dense family: how the last block mixes its values, and what is kept of it.

    Each preset is one published method; the defaults are our own choice (``docs/howto/transformers.md``).
    """

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "maskclip": {"attention": "identity", "residual": False, "feed_forward": False, **UNALTERED},
        "value": {"attention": "identity", "residual": True, "feed_forward": True, **UNALTERED},
        "sclip": {"attention": "qq+kk", "locality": None, "residual": True, "feed_forward": True, **UNALTERED},
        "clearclip": {
            "attention": "qq",
            "locality": None,
            "residual": False,
            "feed_forward": False,
            **UNALTERED,
        },
        "naclip": {"attention": "kk", "locality": 5.0, "residual": False, "feed_forward": False, **UNALTERED},
        "cliper": {
            "attention": "fused",
            "inputs": "all",
            "residual": False,
            "feed_forward": False,
            **UNALTERED,
        },
    }

    attention: Literal["identity", "own", "qq", "kk", "vv", "qq+kk", "xx", "fused"] = Field(
        "qq+kk",
        description="How values are mixed: not at all (identity), by the block's own attention (own), by how alike "
        "queries, keys, values or the tokens (xx) are, by the sum of two of these, or by the attention of all earlier "
        "blocks (fused).",
    )
    locality: float | None = Field(
        5.0,
        gt=0,
        description="Favour near patches: a Gaussian with this deviation, in patches, is added before the softmax; "
        "none for none. Without effect on identity and fused.",
    )
    residual: bool = Field(True, description="Add what went into the block.")
    feed_forward: bool = Field(True, description="Add the block's second branch.")
    rotation: Literal["after", "before"] = Field(
        "after",
        description="Whether queries and keys are compared after or before they are rotated, where a tower rotates "
        "them by position.",
    )
    sharpness: float | None = Field(
        0.35,
        gt=0,
        description="A value v becomes exp(sharpness · s · v), with s the model's own scale on cosines: patches that "
        "fit best stand out, as texts do in the model's own softmax; none leaves values as they are.",
    )
    inputs: Literal["last", "all"] = Field(
        "last",
        description="What goes into the last block: its own input, or also the normalised input of every earlier "
        "block; the map is the mean of theirs.",
    )


class SurgeryConfig(PatchConfig):
    """Options of CLIP Surgery. The preset ``paper`` is the paper's for a single text."""

    presets: ClassVar[dict[str, dict[str, Any]]] = {"paper": {"common": "empty", "above_mean": False}}

    blocks: int = Field(6, ge=1, description="Blocks with value–value attention, counted from the last.")


class GemConfig(PatchConfig):
    """Options of GEM. The preset ``paper`` has those of the paper."""

    presets: ClassVar[dict[str, dict[str, Any]]] = {"paper": AS_PUBLISHED}

    depth: int = Field(7, ge=2, description="One more than the number of blocks, counted from the last, that gather.")
    iterations: int = Field(1, ge=0, description="How often queries, keys and values are grouped before.")


class PrsConfig(PatchConfig):
    """Options of the decomposition. The preset ``paper`` has the paper's, with a fixed bank for its classes."""

    presets: ClassVar[dict[str, dict[str, Any]]] = {"paper": {"common": "bank", "above_mean": False}}

    blocks: int | None = Field(None, ge=1, description="Blocks that count, from the last; none for all.")
