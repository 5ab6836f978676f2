"""A plugin whose parts misbehave in the way that an option says, from the image of a number on."""

from __future__ import annotations

from xtool.plugin import DatasetSpec, EncoderSpec, SaliencyMethodSpec, hookimpl

print("unruly says hello on standard output")


@hookimpl
def xtool_saliency_methods():
    yield SaliencyMethodSpec(
        name="unruly",
        factory="unruly_parts:Unruly",
        config="unruly_parts:UnrulyConfig",
        summary="Misbehaves as its option says.",
    )


@hookimpl
def xtool_encoders():
    for how in ("nan-image", "nan-text", "no-tensor", "wide", "raises", "exits"):
        yield EncoderSpec(
            name=f"unruly-{how}", factory="unruly_parts:load", summary="Misbehaves.", default_pretrained="planted"
        )


@hookimpl
def xtool_datasets():
    yield DatasetSpec(
        name="unruly",
        factory="unruly_parts:open_samples",
        summary="Every third sample misbehaves as the split says.",
        splits=("raises", "exits", "none", "no-image", "nan-box", "flat-box"),
        needs_data_dir=False,
    )
