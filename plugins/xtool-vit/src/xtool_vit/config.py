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
