"""The methods keep the promises of every xtool method; those blind to the text say so."""

import pytest

import xtool.testing

test_rawattention_conforms = xtool.testing.conformance("rawattention")
test_rollout_conforms = xtool.testing.conformance("rollout")
test_legrad_conforms = xtool.testing.conformance("legrad")
test_gradeclip_conforms = xtool.testing.conformance("gradeclip")
test_chefer_conforms = xtool.testing.conformance("chefer")
test_clipes_conforms = xtool.testing.conformance("clipes")
test_m2ib_conforms = pytest.mark.slow(xtool.testing.conformance("m2ib"))
test_dense_conforms = xtool.testing.conformance("dense")
test_gem_conforms = xtool.testing.conformance("gem")
test_surgery_conforms = xtool.testing.conformance("surgery")
test_prs_conforms = xtool.testing.conformance("prs")
