"""Options of the methods."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from xtool.plugin import FeatureConfig, MaskConfig, MethodConfig

Score = Literal["cosine", "dot"]

LAYER = (
    "Layer whose activations make the map: a layer of the encoder, or blocks.K.ln_1 for the input of block K's "
    "attention. auto takes the deepest whose places all reach the embedding: a CNN's last maps, the ln_1 of the last "
    "block where a class token is the embedding, the last block's output where tokens are pooled."
)
SCORE = "What is explained: cosine of image and text, or the dot product before the image embedding is normalised."


class GradientConfig(MethodConfig):
    """Options of the methods that weight activations by gradients."""

    layer: str = Field("auto", description=LAYER)
    score: Score = Field("cosine", description=SCORE)


class GradCAMPlusPlusConfig(GradientConfig):
    """Options of Grad-CAM++."""

    epsilon: Literal["pgc"] | None = Field(
        None,
        description="Added to the denominator of equation 19: nothing, as in the paper, or pgc for pytorch-grad-cam's "
        "10⁻⁶, which outweighs the small gradients of a cosine.",
    )


class PGCConfig(GradientConfig):
    """Options of the adapter of pytorch-grad-cam."""

    name: str = Field(
        "GradCAM",
        min_length=1,
        description="Class of pytorch-grad-cam, or your own as package.module.Class, a subclass of its BaseCAM.",
    )
    against: str = Field(
        "",
        description="FinerCAM only: texts that the text is compared with, separated by |; by default the empty text.",
    )
    alpha: float = Field(
        1.0, ge=0, description="FinerCAM only: the share of the compared texts' scores that is subtracted."
    )


class AblationCAMConfig(MethodConfig):
    """Options of Ablation-CAM."""

    layer: str = Field("auto", description=LAYER)
    score: Score = Field("cosine", description=SCORE)
    ablate: Literal["zero", "pgc"] = Field(
        "zero",
        description="What an ablated activation becomes: zero, as in the paper, or as in pytorch-grad-cam 10⁷ below "
        "the layer's minimum where that is not zero (the two differ on ViTs only).",
    )
    batch: int = Field(32, ge=1, description="Ablated images per forward pass.")


class EigenCAMConfig(FeatureConfig):
    """Options of Eigen-CAM."""


class ScoreCAMConfig(MaskConfig):
    """Options of Score-CAM. With masks on the pixels the defaults compute what pytorch-grad-cam computes."""

    temperature: float = Field(
        1.0, gt=0, description="Divides the scores (cosines) before the softmax over maps; 1 is nearly uniform."
    )
    batch: int | None = Field(None, ge=1, description="Masked images per forward pass; by default set by the device.")


class RandomConfig(MethodConfig):
    """Options of the noise control."""

    seed: int = Field(0, description="Seed of the noise.")
    grid: int = Field(7, ge=1, le=1024, description="Side of the noise grid in cells; fewer cells make smoother maps.")


class CenterConfig(MethodConfig):
    """Options of the centre control."""

    grid: int = Field(56, ge=2, le=1024, description="Side of the map in cells.")
    sigma: float = Field(0.25, gt=0, description="Standard deviation of the bump, as a fraction of the image's side.")


class MeanMapConfig(FeatureConfig):
    """Options of the control without a text."""
