"""VL-Score keeps the promises of every xtool method."""

import xtool.testing

test_conforms = xtool.testing.conformance("vlscore")
test_clusters_conform = xtool.testing.conformance("vlscore:clusters=3")
