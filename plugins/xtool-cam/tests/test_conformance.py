"""The CAM family keeps the promises of every xtool method, and the controls fail those that make them controls."""

import xtool.testing

test_gradcam_conforms = xtool.testing.conformance("gradcam")
test_gradcam_plus_plus_conforms = xtool.testing.conformance("gradcam++")
test_xgradcam_conforms = xtool.testing.conformance("xgradcam")
test_hirescam_conforms = xtool.testing.conformance("hirescam")
test_layercam_conforms = xtool.testing.conformance("layercam")
test_ablationcam_conforms = xtool.testing.conformance("ablationcam")
test_pgc_conforms = xtool.testing.conformance("pgc")
test_scorecam_conforms = xtool.testing.conformance("scorecam")
test_eigencam_conforms = xtool.testing.conformance("eigencam")
test_random_conforms = xtool.testing.conformance("random")
test_center_conforms = xtool.testing.conformance("center")
test_meanmap_conforms = xtool.testing.conformance("meanmap")
