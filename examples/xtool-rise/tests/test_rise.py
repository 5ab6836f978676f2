"""RISE keeps the promises of every xtool method."""

import xtool.testing

test_conforms = xtool.testing.conformance("rise:masks=100")
