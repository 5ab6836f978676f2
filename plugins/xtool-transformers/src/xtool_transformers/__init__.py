"""Image–text models of Hugging Face's transformers for xtool: encoders, and feature maps of their image towers.

This module holds hook implementations only, and imports neither torch nor transformers.
"""

from __future__ import annotations

from collections.abc import Iterator

from xtool.plugin import EncoderSpec, FeatureExtractorSpec, hookimpl
from xtool_transformers.models import OWN, PREFIX


@hookimpl
def xtool_encoders() -> Iterator[EncoderSpec]:
    """Any model of the kinds that can be read, from the hub or a folder."""
    yield EncoderSpec(
        name=PREFIX,
        factory="xtool_transformers.load:load",
        summary=f"{PREFIX}ORG/NAME or {PREFIX}PATH: CLIP, SigLIP, ALIGN, BLIP (retrieval) or GroupViT of transformers.",
        default_pretrained=OWN,
        family="transformers",
        claims="xtool_transformers.models:claims",
    )


@hookimpl
def xtool_feature_extractors() -> Iterator[FeatureExtractorSpec]:
    """What the layers of the image towers compute."""
    yield FeatureExtractorSpec(
        name="hf-tokens",
        factory="xtool.plugin:LayerFeatures",
        summary="Patch tokens after a block of a transformer from Hugging Face.",
        architectures=("vit",),
    )
    yield FeatureExtractorSpec(
        name="hf-spatial",
        factory="xtool.plugin:LayerFeatures",
        summary="Output of a stage of a CNN from Hugging Face (ALIGN).",
        architectures=("cnn",),
    )
