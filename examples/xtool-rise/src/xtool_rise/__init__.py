"""The xtool plugin of RISE. This module holds specs only; torch is imported when the method is built."""

from collections.abc import Iterator

from xtool.plugin import SaliencyMethodSpec, hookimpl

XTOOL_API = 2


@hookimpl
def xtool_saliency_methods() -> Iterator[SaliencyMethodSpec]:
    yield SaliencyMethodSpec(
        name="rise",
        factory="xtool_rise.method:RISE",
        config="xtool_rise.config:RISEConfig",
        summary="Random masks, each weighted by how well what it leaves visible matches the text.",
        paper="Petsiuk et al. 2018, arXiv:1806.07421",
        forwards="1 + N",
    )
