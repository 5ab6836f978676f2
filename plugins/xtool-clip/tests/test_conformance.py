"""The feature extractors keep the promises of every xtool feature extractor."""

import xtool.testing

test_spatial_conforms = xtool.testing.conformance("spatial")
test_tokens_conforms = xtool.testing.conformance("tokens")
test_attention_conforms = xtool.testing.conformance("attention")
test_queries_conforms = xtool.testing.conformance("queries")
test_keys_conforms = xtool.testing.conformance("keys")
test_values_conforms = xtool.testing.conformance("values")
