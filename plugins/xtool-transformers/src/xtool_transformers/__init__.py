"""Image–text models of Hugging Face's transformers for xtool: encoders, and feature maps of their image towers.

This module holds hook implementations only, and imports neither torch nor transformers.
"""

from __future__ import annotations

from collections.abc import Iterator

from xtool.plugin import FeatureExtractorSpec, hookimpl


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
