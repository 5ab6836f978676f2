"""What this plugin contributes keeps the promises of its kind."""

import xtool.testing

test_spatial_conforms = xtool.testing.conformance("spatial")
test_tokens_conforms = xtool.testing.conformance("tokens")
test_attention_conforms = xtool.testing.conformance("attention")
test_queries_conforms = xtool.testing.conformance("queries")
test_keys_conforms = xtool.testing.conformance("keys")
test_values_conforms = xtool.testing.conformance("values")
test_hub_conforms = xtool.testing.conformance("hf-hub:", "encoder")
test_folder_conforms = xtool.testing.conformance("local-dir:", "encoder")
