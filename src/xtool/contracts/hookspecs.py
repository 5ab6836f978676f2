"""The whole plugin surface: five hooks that collect specs. ``docs/plugins/index.md`` has a page for each."""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

from xtool.contracts.specs import CommandSpec, DatasetSpec, EncoderSpec, FeatureExtractorSpec, SaliencyMethodSpec

PROJECT = "xtool"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def xtool_encoders() -> Iterable[EncoderSpec]:  # type: ignore[empty-body]
    """Yield image–text models.

    >>> @hookimpl
    ... def xtool_encoders():
    ...     yield EncoderSpec(name="my-clip", factory="my_plugin.encoder:load", summary="My CLIP.")
    """


@hookspec
def xtool_feature_extractors() -> Iterable[FeatureExtractorSpec]:  # type: ignore[empty-body]
    """Yield ways to read feature maps from an encoder.

    >>> @hookimpl
    ... def xtool_feature_extractors():
    ...     yield FeatureExtractorSpec(name="my-tokens", factory="my_plugin.tokens:Tokens", summary="My tokens.")
    """


@hookspec
def xtool_saliency_methods() -> Iterable[SaliencyMethodSpec]:  # type: ignore[empty-body]
    """Yield saliency methods.

    >>> @hookimpl
    ... def xtool_saliency_methods():
    ...     yield SaliencyMethodSpec(
    ...         name="mycam", factory="my_plugin.mycam:MyCAM", config="my_plugin.mycam:MyCAMConfig", summary="My CAM."
    ...     )
    """


@hookspec
def xtool_datasets() -> Iterable[DatasetSpec]:  # type: ignore[empty-body]
    """Yield data sets with boxes.

    >>> @hookimpl
    ... def xtool_datasets():
    ...     yield DatasetSpec(name="my-birds", factory="my_plugin.birds:open_birds", summary="Birds with boxes.")
    """


@hookspec
def xtool_commands() -> Iterable[CommandSpec]:  # type: ignore[empty-body]
    """Yield commands of the ``xtool`` program.

    >>> @hookimpl
    ... def xtool_commands():
    ...     yield CommandSpec(name="my-tool", command="my_plugin.tool:tool_command", summary="Do what I mean.")
    """
