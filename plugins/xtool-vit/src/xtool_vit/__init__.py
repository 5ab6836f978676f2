"""The xtool plugin of methods for vision transformers.

This module holds specs only: torch is imported when a method is built.
"""

from collections.abc import Iterator

from xtool.plugin import SaliencyMethodSpec, hookimpl

_TEXT_BLIND = {"texts_change_the_map": "does not look at the text"}
XTOOL_EXPECTED_FAILURES = {
    "rawattention": _TEXT_BLIND,
    "rollout": _TEXT_BLIND,
    "m2ib": {"planted_evidence": "ten samples of noise, at the paper's beta, leave noise in the map of a tiny tower"},
}
"""Promises of a saliency method that one blind to the text, or a noisy one, must break."""

# Box thresholds are the best of `xtool compare --dataset scenes:val --encoder tiny-vit --limit 150`, m2ib's that of the
# first 43 images.


@hookimpl
def xtool_saliency_methods() -> Iterator[SaliencyMethodSpec]:
    yield SaliencyMethodSpec(
        name="rawattention",
        factory="xtool_vit.rollout:RawAttention",
        config="xtool_vit.config:RawAttentionConfig",
        own_texts=True,
        summary="What the embedding takes from each patch in the last attention; the same for every text.",
        architectures=("vit",),
        check_encoder="xtool.plugin:transformer_parts",
    )
    yield SaliencyMethodSpec(
        name="rollout",
        factory="xtool_vit.rollout:Rollout",
        config="xtool_vit.config:RolloutConfig",
        own_texts=True,
        summary="Attention multiplied through the blocks; the same for every text.",
        paper="Abnar and Zuidema 2020, arXiv:2005.00928",
        architectures=("vit",),
        check_encoder="xtool.plugin:transformer_parts",
    )
    yield SaliencyMethodSpec(
        name="legrad",
        factory="xtool_vit.legrad:LeGrad",
        config="xtool_vit.config:LeGradConfig",
        own_texts=True,
        summary="Positive gradients of each block's own match with the text, by its attention.",
        paper="Bousselham et al. 2025, arXiv:2404.03214",
        requires=frozenset({"gradients"}),
        architectures=("vit",),
        check_encoder="xtool.plugin:transformer_parts",
        box_threshold=0.53,
    )
    yield SaliencyMethodSpec(
        name="gradeclip",
        factory="xtool_vit.gradeclip:GradECLIP",
        config="xtool_vit.config:GradECLIPConfig",
        own_texts=True,
        summary="Values of the last attention, weighted by the gradient of its output and by how keys match queries.",
        paper="Zhao et al. 2024, Grad-ECLIP, ICML",
        requires=frozenset({"gradients"}),
        architectures=("vit",),
        check_encoder="xtool.plugin:transformer_parts",
        box_threshold=0.15,
    )
    yield SaliencyMethodSpec(
        name="chefer",
        factory="xtool_vit.relevance:Chefer",
        config="xtool_vit.config:CheferConfig",
        own_texts=True,
        summary="Relevance: attention times its gradient, of the last block, or followed through several.",
        paper="Chefer et al. 2021, arXiv:2103.15679",
        requires=frozenset({"gradients"}),
        architectures=("vit",),
        check_encoder="xtool.plugin:transformer_parts",
        box_threshold=0.03,
    )
    yield SaliencyMethodSpec(
        name="clipes",
        factory="xtool_vit.clipes:CLIPES",
        config="xtool_vit.config:CLIPESConfig",
        own_texts=True,
        summary="CLIP-ES: Grad-CAM of a text's probability among background words.",
        paper="Lin et al. 2023, arXiv:2212.09506",
        requires=frozenset({"gradients"}),
        architectures=("vit",),
        check_encoder="xtool.plugin:transformer_parts",
        box_threshold=0.39,
    )
    yield SaliencyMethodSpec(
        name="m2ib",
        factory="xtool_vit.m2ib:M2IB",
        config="xtool_vit.config:M2IBConfig",
        summary="Information bottleneck: what of each token must be kept for the match; the last blocks run 100 times.",
        paper="Wang et al. 2023, arXiv:2312.17174",
        requires=frozenset({"gradients"}),
        architectures=("vit",),
        check_encoder="xtool.plugin:transformer_parts",
        box_threshold=0.1,
    )
    yield SaliencyMethodSpec(
        name="dense",
        factory="xtool_vit.dense:Dense",
        config="xtool_vit.config:DenseConfig",
        own_texts=True,
        summary="What each patch says by itself, the last block's attention replaced; with a preset for each paper.",
        paper="Wang et al. 2024, SCLIP, arXiv:2312.01597; others by preset",
        architectures=("vit",),
        check_encoder="xtool.plugin:transformer_parts",
        box_threshold=0.1,
    )
    yield SaliencyMethodSpec(
        name="gem",
        factory="xtool_vit.gem:Gem",
        config="xtool_vit.config:GemConfig",
        own_texts=True,
        summary="Patches gather from those with alike queries, keys or values, over the last blocks.",
        paper="Bousselham et al. 2024, Grounding Everything, arXiv:2312.00878",
        architectures=("vit",),
        check_encoder="xtool.plugin:transformer_parts",
        box_threshold=0.25,
    )
    yield SaliencyMethodSpec(
        name="surgery",
        factory="xtool_vit.surgery:Surgery",
        config="xtool_vit.config:SurgeryConfig",
        own_texts=True,
        summary="Patches gather from those with alike values, less what every text shows.",
        paper="Li et al. 2023, CLIP Surgery, arXiv:2304.05653",
        architectures=("vit",),
        check_encoder="xtool.plugin:transformer_parts",
        box_threshold=0.28,
    )
    yield SaliencyMethodSpec(
        name="prs",
        factory="xtool_vit.prs:Prs",
        config="xtool_vit.config:PrsConfig",
        own_texts=True,
        summary="What the heads of all blocks read from each patch and write into the embedding; signed, adds up.",
        paper="Gandelsman et al. 2024, arXiv:2310.05916",
        architectures=("vit",),
        check_encoder="xtool.plugin:transformer_parts",
        box_threshold=0.02,
    )
