"""The xtool plugin of methods for vision transformers.

This module holds specs only: torch is imported when a method is built.
"""

from collections.abc import Iterator

from xtool.plugin import SaliencyMethodSpec, hookimpl

_TEXT_BLIND = {"texts_change_the_map": "does not look at the text"}
XTOOL_EXPECTED_FAILURES = {"rawattention": _TEXT_BLIND, "rollout": _TEXT_BLIND}
"""Promises of a saliency method that one blind to the text must break."""


@hookimpl
def xtool_saliency_methods() -> Iterator[SaliencyMethodSpec]:
    yield SaliencyMethodSpec(
        name="rawattention",
        factory="xtool_vit.rollout:RawAttention",
        config="xtool_vit.config:RawAttentionConfig",
        summary="What the embedding takes from each patch in the last attention; the same for every text.",
        architectures=("vit",),
    )
    yield SaliencyMethodSpec(
        name="rollout",
        factory="xtool_vit.rollout:Rollout",
        config="xtool_vit.config:RolloutConfig",
        summary="Attention multiplied through the blocks; the same for every text.",
        paper="Abnar and Zuidema 2020, arXiv:2005.00928",
        architectures=("vit",),
    )
