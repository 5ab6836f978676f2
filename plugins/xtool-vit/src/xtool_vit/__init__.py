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
    yield SaliencyMethodSpec(
        name="dense",
        factory="xtool_vit.dense:Dense",
        config="xtool_vit.config:DenseConfig",
        summary="What each patch says by itself, the last block's attention replaced; with a preset for each paper.",
        paper="Wang et al. 2024, SCLIP, arXiv:2312.01597; others by preset",
        architectures=("vit",),
        box_threshold=0.42,
    )
    yield SaliencyMethodSpec(
        name="gem",
        factory="xtool_vit.gem:Gem",
        config="xtool_vit.config:GemConfig",
        summary="Patches gather from those with alike queries, keys or values, over the last blocks.",
        paper="Bousselham et al. 2024, Grounding Everything, arXiv:2312.00878",
        architectures=("vit",),
        box_threshold=0.25,
    )
    yield SaliencyMethodSpec(
        name="surgery",
        factory="xtool_vit.surgery:Surgery",
        config="xtool_vit.config:SurgeryConfig",
        summary="Patches gather from those with alike values, less what every text shows.",
        paper="Li et al. 2023, CLIP Surgery, arXiv:2304.05653",
        architectures=("vit",),
        box_threshold=0.28,
    )
    yield SaliencyMethodSpec(
        name="prs",
        factory="xtool_vit.prs:Prs",
        config="xtool_vit.config:PrsConfig",
        summary="What the heads of all blocks read from each patch and write into the embedding; signed, adds up.",
        paper="Gandelsman et al. 2024, arXiv:2310.05916",
        architectures=("vit",),
        box_threshold=0.02,
    )
