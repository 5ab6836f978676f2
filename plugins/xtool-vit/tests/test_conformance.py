"""The methods keep the promises of every xtool method; those blind to the text say so."""

import xtool.testing

test_rawattention_conforms = xtool.testing.conformance("rawattention")
test_rollout_conforms = xtool.testing.conformance("rollout")
