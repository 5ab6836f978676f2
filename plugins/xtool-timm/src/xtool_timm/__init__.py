"""timm classifiers for xtool: class-conditioned encoders, their feature maps, and classic CAM.

This module holds hook implementations only, and imports neither torch nor timm.
"""

from __future__ import annotations

from collections.abc import Iterator

from xtool.plugin import EncoderSpec, FeatureExtractorSpec, SaliencyMethodSpec, hookimpl

PREFIX = "timm-"

CLASSIFIERS = {
    # torchvision's weights are those that classic CAM is usually shown with.
    "resnet18": "tv_in1k",
    "resnet34": "tv_in1k",
    "resnet50": "tv_in1k",
    "resnet101": "tv_in1k",
    "resnet152": "tv_in1k",
    "wide_resnet50_2": "tv_in1k",
    "resnext50_32x4d": "tv_in1k",
    "densenet121": "tv_in1k",
    "inception_v3": "tv_in1k",
    "efficientnet_b0": "ra_in1k",
    "mobilenetv2_100": "ra_in1k",
    "regnety_016": "tv2_in1k",
    "tf_efficientnet_lite0": "in1k",
}
"""The timm classifiers that have a name of their own, with the tag of their default weights."""


@hookimpl
def xtool_encoders() -> Iterator[EncoderSpec]:
    """Well-known classifiers by name, and any other through ``timm``."""
    for model, tag in CLASSIFIERS.items():
        yield EncoderSpec(
            name=PREFIX + model,
            factory="xtool_timm.load:load",
            summary=f"ImageNet classifier {model} of timm; texts reach it by the nearest class names.",
            default_pretrained=tag,
        )
    yield EncoderSpec(
        name="timm",
        factory="xtool_timm.load:load",
        summary="Any ImageNet classifier of timm: --pretrained MODEL.TAG, for example resnet50d.ra2_in1k.",
    )


@hookimpl
def xtool_feature_extractors() -> Iterator[FeatureExtractorSpec]:
    """Any layer that the encoder lists."""
    yield FeatureExtractorSpec(
        name="timm-spatial",
        factory="xtool.plugin:LayerFeatures",
        summary="Output of a stage of a timm classifier; the last is what is pooled and classified.",
        architectures=("cnn",),
    )


@hookimpl
def xtool_saliency_methods() -> Iterator[SaliencyMethodSpec]:
    """Classic CAM."""
    yield SaliencyMethodSpec(
        name="cam",
        factory="xtool_timm.cam:CAM",
        config="xtool.contracts.config:MethodConfig",
        summary="Last feature maps weighed by the classifier's weights of the class.",
        paper="Zhou et al. 2016, arXiv:1512.04150",
        architectures=("cnn",),
    )
