"""A plugin of methods that break one promise each, and of one that keeps all."""

from __future__ import annotations

from xtool.plugin import DatasetSpec, EncoderSpec, FeatureExtractorSpec, SaliencyMethodSpec, hookimpl

METHODS = {
    "sound": "Sound",
    "flat": "Flat",
    "double": "Double",
    "not-finite": "NotFinite",
    "mixes-images": "MixesImages",
    "mixes-texts": "MixesTexts",
    "remembers": "Remembers",
    "dice": "Dice",
    "leaves-a-hook": "LeavesAHook",
    "leaves-a-gradient": "LeavesAGradient",
    "trains": "Trains",
    "freezes": "Freezes",
    "leaks-on-error": "LeaksOnError",
    "swallows": "Swallows",
    "text-blind": "TextBlind",
    "model-blind": "ModelBlind",
    "transposed": "Transposed",
    "shifted": "Shifted",
    "cropped": "Cropped",
    "upside-down": "UpsideDown",
    "wordless": "Wordless",
}
ON_BOTH = {"sound", "transposed", "shifted"}


@hookimpl
def xtool_saliency_methods():
    for name, factory in METHODS.items():
        yield SaliencyMethodSpec(
            name=name,
            factory=f"broken_parts:{factory}",
            config="xtool.contracts.config:MethodConfig",
            summary="One promise less.",
            architectures=("cnn", "vit") if name in ON_BOTH else ("cnn",),  # the other one would only cost time
        )
    yield SaliencyMethodSpec(
        name="secretly-gradients",
        factory="broken_parts:SecretlyGradients",
        config="xtool.contracts.config:MethodConfig",
        summary="Differentiates, and does not say so.",
    )
    for name, config in (
        ("undescribed", "Undescribed"),
        ("comma", "Comma"),
        ("lenient", "Lenient"),
        ("nameless-layer", "WithLayer"),
    ):
        yield SaliencyMethodSpec(
            name=name,
            factory="broken_parts:Sound",
            config=f"broken_parts:{config}",
            summary="A method.",
            architectures=("cnn",),
        )
    yield SaliencyMethodSpec(
        name="mute", factory="broken_parts:Sound", config="xtool.contracts.config:MethodConfig", summary=" "
    )


@hookimpl
def xtool_feature_extractors():
    for name, factory in (
        ("sound-features", "SoundFeatures"),
        ("transposed-features", "TransposedFeatures"),
        ("other-embedding", "OtherEmbedding"),
        ("any-layer", "AnyLayer"),
        ("half-features", "HalfFeatures"),
    ):
        yield FeatureExtractorSpec(name=name, factory=f"broken_features:{factory}", summary="Features.")


@hookimpl
def xtool_encoders():
    for name in (
        "sound-encoder",
        "long-vectors",
        "detached",
        "training",
        "ignores-seed",
        "takes-any-tag",
        "sideways",
        "any-layer-at-all",
    ):
        yield EncoderSpec(name=name, factory="broken_encoders:load", summary="An encoder.")
    for name in (
        "sound-words",
        "one-number-short",
        "infinite-words",
        "chokes-on-long-texts",
        "counts-its-calls",
        "shares-out",
        "no-sign",
        "leaves-a-word-gradient",
        "not-in-inference-mode",
        "any-word-method",
        "wordless-words",
    ):
        yield EncoderSpec(name=name, factory="broken_words:load", summary="An encoder that explains words.")


@hookimpl
def xtool_datasets():
    for name in ("sound-data", "empty-boxes", "boxes-outside", "unstable", "same-ids", "grey", "any-split"):
        yield DatasetSpec(
            name=name,
            factory=f"broken_datasets:open_{name.replace('-', '_')}",
            summary="Data.",
            needs_data_dir=False,
        )
