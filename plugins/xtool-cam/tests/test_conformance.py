"""The CAM family keeps the promises of every xtool method, and the controls fail those that make them controls."""

import xtool.testing

TEXT_BLIND = {"texts_change_the_map": "does not look at the text"}
SEES_NOTHING = {
    "weights_change_the_map": "a control: does not look at the model",
    "planted_evidence": "a control: does not look at the image",
}

test_gradcam_conforms = xtool.testing.conformance("gradcam")
test_gradcam_plus_plus_conforms = xtool.testing.conformance("gradcam++")
test_xgradcam_conforms = xtool.testing.conformance("xgradcam")
test_hirescam_conforms = xtool.testing.conformance("hirescam")
test_layercam_conforms = xtool.testing.conformance("layercam")
test_ablationcam_conforms = xtool.testing.conformance("ablationcam")
test_scorecam_conforms = xtool.testing.conformance("scorecam")
test_eigencam_conforms = xtool.testing.conformance(
    "eigencam",
    expected_failures={
        **TEXT_BLIND,
        "planted_evidence-cnn": "the sign of a principal axis is arbitrary: it may show the background",
    },
)
test_random_conforms = xtool.testing.conformance("random", expected_failures=SEES_NOTHING)
test_center_conforms = xtool.testing.conformance("center", expected_failures={**TEXT_BLIND, **SEES_NOTHING})
