"""timm classifiers for xtool: class-conditioned encoders, their feature maps, and classic CAM.

This module holds hook implementations only, and imports neither torch nor timm.
"""

from __future__ import annotations

from collections.abc import Iterator

from xtool.loading import cached
from xtool.plugin import EncoderSpec, FeatureExtractorSpec, SaliencyMethodSpec, hookimpl

PREFIX = "timm-"

FILES = ("model.safetensors", "pytorch_model.bin")
"""Under which the hub keeps weights, in order of preference."""

CLASSIFIERS = {
    # torchvision's weights are those that classic CAM is usually shown with.
    "resnet18": ("tv_in1k", 11_689_512),
    "resnet34": ("tv_in1k", 21_797_672),
    "resnet50": ("tv_in1k", 25_557_032),
    "resnet101": ("tv_in1k", 44_549_160),
    "resnet152": ("tv_in1k", 60_192_808),
    "wide_resnet50_2": ("tv_in1k", 68_883_240),
    "resnext50_32x4d": ("tv_in1k", 25_028_904),
    "densenet121": ("tv_in1k", 7_978_856),
    "inception_v3": ("tv_in1k", 23_834_568),
    "efficientnet_b0": ("ra_in1k", 5_288_548),
    "mobilenetv2_100": ("ra_in1k", 3_504_872),
    "regnety_016": ("tv2_in1k", 11_202_430),
    "tf_efficientnet_lite0": ("in1k", 4_652_008),
}
"""The timm classifiers that have a name of their own, with the tag of their default weights and their number."""


@hookimpl
def xtool_encoders() -> Iterator[EncoderSpec]:
    """Well-known classifiers by name, and any other through ``timm``."""
    for model, (tag, parameters) in CLASSIFIERS.items():
        yield EncoderSpec(
            name=PREFIX + model,
            factory="xtool_timm.load:load",
            summary=f"ImageNet classifier {model} of timm; texts reach it by the nearest class names.",
            default_pretrained=tag,
            family="timm",
            knows="photographs",
            parameters=parameters,
            own_classes=True,
            on_disk="xtool_timm:on_disk",
        )
    yield EncoderSpec(
        name="timm",
        factory="xtool_timm.load:load",
        summary="Any model of timm: --pretrained MODEL.TAG, for example resnet50d.ra2_in1k; DINO for --features-from.",
        family="timm",
        knows="photographs",
        own_classes=True,
    )


@hookimpl
def xtool_feature_extractors() -> Iterator[FeatureExtractorSpec]:
    """Any layer that the encoder lists."""
    yield FeatureExtractorSpec(
        name="timm-tokens",
        factory="xtool.plugin:LayerFeatures",
        summary="Patch tokens after a block of a timm vision transformer.",
        architectures=("vit",),
    )
    yield FeatureExtractorSpec(
        name="timm-spatial",
        factory="xtool.plugin:LayerFeatures",
        summary="Output of a stage of a timm classifier; the last is pooled and classified.",
        architectures=("cnn",),
    )


@hookimpl
def xtool_saliency_methods() -> Iterator[SaliencyMethodSpec]:
    """Classic CAM."""
    yield SaliencyMethodSpec(
        name="cam",
        factory="xtool_timm.cam:CAM",
        config="xtool.plugin:MethodConfig",
        own_texts=True,
        summary="Last feature maps weighted by the classifier's weights of the class.",
        paper="Zhou et al. 2016, arXiv:1512.04150",
        architectures=("cnn",),
        check_encoder="xtool_timm.cam:require_classifier",
        box_threshold=0.14,
    )


def on_disk(name: str) -> bool:
    """Whether the default weights are in the Hugging Face cache."""
    model = name.removeprefix(PREFIX)
    tag, _ = CLASSIFIERS[model]
    return cached(f"timm/{model}.{tag}", FILES) is not None
