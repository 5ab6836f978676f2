"""The xtool plugin of VL-Score. This module holds specs only; torch is imported when the method is built."""

from collections.abc import Iterator

from xtool.plugin import CommandSpec, SaliencyMethodSpec, hookimpl


@hookimpl
def xtool_saliency_methods() -> Iterator[SaliencyMethodSpec]:
    yield SaliencyMethodSpec(
        name="vlscore",
        factory="xtool_vlscore.method:VLScore",
        config="xtool_vlscore.config:VLScoreConfig",
        own_texts=True,
        summary="Feature maps as masks, weighted by how well the masked image matches the text; detects absent texts.",
        paper="Gao and Wang 2022, VL-Score",
        requires=frozenset({"features"}),
        forwards="2 + C",
        box_threshold=0.03,
        suggested=30,
    )


@hookimpl
def xtool_commands() -> Iterator[CommandSpec]:
    yield CommandSpec(
        name="reproduce",
        command="xtool_vlscore.reproduce.command:reproduce_command",
        summary="Measure the VL-Score article's tables again, next to what was published.",
    )
