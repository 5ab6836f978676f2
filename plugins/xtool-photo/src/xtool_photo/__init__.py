"""The xtool plugin of the encoder for photographs. This module holds specs only, and imports no torch."""

from collections.abc import Iterator

from xtool.hookspecs import hookimpl
from xtool.specs import EncoderSpec


@hookimpl
def xtool_encoders() -> Iterator[EncoderSpec]:
    yield EncoderSpec(
        name="photo",
        factory="xtool_photo.load:load",
        summary="For photographs: EfficientNet-Lite0 trained on ImageNet, free text by WordNet; works offline.",
        default_pretrained="packaged",
    )
