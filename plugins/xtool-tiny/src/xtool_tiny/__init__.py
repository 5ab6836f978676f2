"""The xtool plugin of the bundled models and scenes. This module holds specs only, and imports no torch."""

from collections.abc import Iterator

from xtool.plugin import DatasetSpec, EncoderSpec, hookimpl


@hookimpl
def xtool_encoders() -> Iterator[EncoderSpec]:
    yield EncoderSpec(
        name="tiny-rn",
        factory="xtool_tiny.encoder:load",
        summary="Bundled CLIP with a ModifiedResNet of 1.4 M parameters, trained on pictogram scenes.",
        default_pretrained="scenes",
        family="tiny",
        knows="pictograms",
        parameters=1_562_777,
        on_disk="xtool_tiny:on_disk",
        suggested=10,
    )
    yield EncoderSpec(
        name="tiny-vit",
        factory="xtool_tiny.encoder:load",
        summary="Bundled CLIP with a VisionTransformer of 14×14 tokens, distilled from tiny-rn.",
        default_pretrained="scenes",
        family="tiny",
        knows="pictograms",
        parameters=1_873_473,
        on_disk="xtool_tiny:on_disk",
    )


@hookimpl
def xtool_datasets() -> Iterator[DatasetSpec]:
    yield DatasetSpec(
        name="scenes",
        factory="xtool_tiny.scenes:open_scenes",
        summary="Bundled pictogram scenes with boxes and masks of 106 things; cross: drawings never trained on.",
        splits=("test", "val", "cross", "single"),
        needs_data_dir=False,
        shows="pictograms",
        suggested=10,
    )


def on_disk(name: str) -> bool:
    """The weights are in this package."""
    return True
