"""The xtool plugin of the CAM family and the control baselines.

This module holds specs only: torch is imported when a method is built, pytorch-grad-cam when its adapter is.
"""

from collections.abc import Iterator

from xtool.plugin import SaliencyMethodSpec, hookimpl

_TEXT_BLIND = {"texts_change_the_map": "does not look at the text"}
_CONTROL = {
    "weights_change_the_map": "a control: does not look at the model",
    "planted_evidence": "a control: does not look at the image",
}
XTOOL_EXPECTED_FAILURES = {
    "eigencam": _TEXT_BLIND,
    "meanmap": _TEXT_BLIND,
    "random": _CONTROL,
    "center": {**_TEXT_BLIND, **_CONTROL},
}
"""Promises of a saliency method that a control, or a method blind to the text, must break."""


@hookimpl
def xtool_saliency_methods() -> Iterator[SaliencyMethodSpec]:
    for name, factory, summary, paper in (
        (
            "gradcam",
            "GradCAM",
            "Activations weighted by their mean gradient.",
            "Selvaraju et al. 2017, arXiv:1610.02391",
        ),
        (
            "gradcam++",
            "GradCAMPlusPlus",
            "Activations weighted by their positive gradients, higher orders included.",
            "Chattopadhyay et al. 2018, arXiv:1710.11063",
        ),
        (
            "xgradcam",
            "XGradCAM",
            "Activations weighted by gradients that are averaged by activation.",
            "Fu et al. 2020, arXiv:2008.02312",
        ),
        (
            "hirescam",
            "HiResCAM",
            "Gradient times activation at each position.",
            "Draelos and Carin 2020, arXiv:2011.08891",
        ),
        (
            "layercam",
            "LayerCAM",
            "Positive gradient times activation at each position; suited to early layers.",
            "Jiang et al. 2021, doi:10.1109/TIP.2021.3089943",
        ),
    ):
        config = "GradCAMPlusPlusConfig" if name == "gradcam++" else "GradientConfig"
        yield SaliencyMethodSpec(
            name=name,
            factory=f"xtool_cam.gradient:{factory}",
            config=f"xtool_cam.config:{config}",
            own_texts=True,
            summary=summary,
            paper=paper,
            requires=frozenset({"gradients"}),
            box_threshold=0.1 if name in ("gradcam++", "layercam") else 0.04,  # the others' maps have sharp peaks
            suggested=20 if name == "gradcam" else 0,
        )
    yield SaliencyMethodSpec(
        name="eigencam",
        factory="xtool_cam.eigencam:EigenCAM",
        config="xtool_cam.config:EigenCAMConfig",
        own_texts=True,
        summary="First principal component of the features; the same for every text.",
        paper="Muhammad and Yeasin 2020, arXiv:2008.00299",
        box_threshold=0.02,
        requires=frozenset({"features"}),
    )
    yield SaliencyMethodSpec(
        name="ablationcam",
        factory="xtool_cam.ablationcam:AblationCAM",
        config="xtool_cam.config:AblationCAMConfig",
        summary="Activations weighted by how much the score drops without them.",
        paper="Desai and Ramaswamy 2020, doi:10.1109/WACV45572.2020.9093360",
        forwards="1 + C",
    )
    yield SaliencyMethodSpec(
        name="scorecam",
        factory="xtool_cam.scorecam:ScoreCAM",
        config="xtool_cam.config:ScoreCAMConfig",
        own_texts=True,
        summary="Activations as masks, weighted by the masked image's score.",
        paper="Wang et al. 2020, arXiv:1910.01279",
        requires=frozenset({"features"}),
        forwards="2 + C",
    )
    yield SaliencyMethodSpec(
        name="pgc",
        factory="xtool_cam.pgc:PytorchGradCAM",
        config="xtool_cam.config:PGCConfig",
        summary="Any class of pytorch-grad-cam, by name: pgc:name=FinerCAM. Needs xtool-cam[pgc].",
        requires=frozenset({"gradients"}),
        forwards="T",
    )
    yield SaliencyMethodSpec(
        name="random",
        factory="xtool_cam.controls:RandomNoise",
        config="xtool_cam.config:RandomConfig",
        own_texts=True,
        summary="Control: noise. What a method scores without looking at all.",
        forwards="0",
    )
    yield SaliencyMethodSpec(
        name="center",
        factory="xtool_cam.controls:CenterBump",
        config="xtool_cam.config:CenterConfig",
        own_texts=True,
        summary="Control: a bump in the middle. What a method scores by knowing how people take photographs.",
        forwards="0",
        box_threshold=0.32,
        suggested=10,
    )
    yield SaliencyMethodSpec(
        name="meanmap",
        factory="xtool_cam.controls:MeanMap",
        config="xtool_cam.config:MeanMapConfig",
        own_texts=True,
        summary="Control: the mean of all feature maps. What a method scores without looking at the text.",
        requires=frozenset({"features"}),
        box_threshold=0.15,
    )
