"""open_clip for xtool: every open_clip model as an encoder, and what its image tower computes as feature maps.

This module holds hook implementations only, and imports neither torch nor open_clip.
"""

from __future__ import annotations

from collections.abc import Iterable

from xtool.plugin import EncoderSpec, FeatureExtractorSpec, hookimpl
from xtool_clip.catalogue import encoder_specs
from xtool_clip.repositories import CONFIG, FOLDER, HUB, OWN


@hookimpl
def xtool_encoders() -> Iterable[EncoderSpec]:
    """One encoder for each model that the installed open_clip knows, and any model in its layout."""
    yield from encoder_specs()
    yield EncoderSpec(
        name=HUB,
        factory="xtool_clip.from_files:load_from_hub",
        summary=f"{HUB}ORG/NAME: a repository of the Hugging Face hub with an {CONFIG}.",
        default_pretrained=OWN,
        family="open_clip layout",
        claims="xtool_clip.repositories:on_the_hub",
    )
    yield EncoderSpec(
        name=FOLDER,
        factory="xtool_clip.from_files:load_from_folder",
        summary=f"{FOLDER}PATH: a folder with an {CONFIG} and weights.",
        default_pretrained=OWN,
        family="open_clip layout",
        claims="xtool_clip.repositories:in_folder",
    )


@hookimpl
def xtool_feature_extractors() -> Iterable[FeatureExtractorSpec]:
    """What a CNN's stages and a ViT's blocks compute."""
    yield FeatureExtractorSpec(
        name="spatial",
        factory="xtool.plugin:LayerFeatures",
        summary="Output of a CNN stage: stem, layer1 to layer4.",
        architectures=("cnn",),
    )
    yield FeatureExtractorSpec(
        name="tokens",
        factory="xtool.plugin:LayerFeatures",
        summary="Patch tokens after a ViT block.",
        architectures=("vit",),
    )
    yield FeatureExtractorSpec(
        name="attention",
        factory="xtool_clip.features:ClassAttention",
        summary="Attention of the class token to each patch in a ViT block, one map per head.",
        architectures=("vit",),
    )
    yield FeatureExtractorSpec(
        name="queries",
        factory="xtool_clip.features:Queries",
        summary="Query vector of each patch in a ViT block.",
        architectures=("vit",),
    )
    yield FeatureExtractorSpec(
        name="keys",
        factory="xtool_clip.features:Keys",
        summary="Key vector of each patch in a ViT block.",
        architectures=("vit",),
    )
    yield FeatureExtractorSpec(
        name="values",
        factory="xtool_clip.features:Values",
        summary="Value vector of each patch in a ViT block.",
        architectures=("vit",),
    )
