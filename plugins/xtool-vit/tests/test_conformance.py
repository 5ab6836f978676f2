"""The methods keep the promises of every xtool method; those blind to the text say so."""

import xtool.testing

test_rawattention_conforms = xtool.testing.conformance("rawattention")
test_rollout_conforms = xtool.testing.conformance("rollout")
test_dense_conforms = xtool.testing.conformance("dense")
test_gem_conforms = xtool.testing.conformance("gem")
test_surgery_conforms = xtool.testing.conformance("surgery")
test_prs_conforms = xtool.testing.conformance("prs")
