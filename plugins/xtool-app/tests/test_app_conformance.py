"""The plugin keeps the promises of xtool's conformance kit."""

import xtool.testing

test_conforms = xtool.testing.conformance("app")
