"""A stranger's plugin for tests: the planted encoder, a method and a data set on it, found through its entry point."""

from __future__ import annotations

from xtool.plugin import DatasetSpec, EncoderSpec, FeatureExtractorSpec, SaliencyMethodSpec, hookimpl


@hookimpl
def xtool_encoders():
    yield EncoderSpec(
        name="planted-cnn",
        factory="planted_parts:load",
        summary="Detects three colours.",
        default_pretrained="planted",
    )


@hookimpl
def xtool_feature_extractors():
    yield FeatureExtractorSpec(
        name="planted",
        factory="xtool.plugin:LayerFeatures",
        summary="The colour detectors.",
        architectures=("cnn",),
    )


@hookimpl
def xtool_saliency_methods():
    yield SaliencyMethodSpec(
        name="colourcam",
        factory="planted_parts:ColourCAM",
        config="planted_parts:ColourCAMConfig",
        summary="Colour detectors weighted by how their direction matches the text.",
        requires=frozenset({"features"}),
    )
    yield SaliencyMethodSpec(
        name="everywhere",
        factory="planted_parts:Everywhere",
        config="xtool.contracts.config:MethodConfig",
        summary="Sees everything everywhere.",
    )


@hookimpl
def xtool_datasets():
    yield DatasetSpec(
        name="patches",
        factory="planted_parts:open_patches",
        summary="Coloured patches on grey.",
        splits=("whole", "broken"),
        needs_data_dir=False,
    )
