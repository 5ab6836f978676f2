"""The xtool plugin of the encoder for photographs. This module holds specs only, and imports no torch."""

from collections.abc import Iterator

from xtool.plugin import EncoderSpec, hookimpl


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
        suggested=20,
    )
