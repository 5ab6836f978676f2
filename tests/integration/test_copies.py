"""An encoder can be copied and sent to another process, and computes the same there."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch

from xtool.engine.encoders import load_encoder

for plugin in ("xtool_tiny", "xtool_photo"):
    pytest.importorskip(plugin)


@pytest.mark.parametrize("name", ["photo", "tiny-rn", "tiny-vit"])
def test_copies_compute_what_the_encoder_computes(name: str) -> None:
    encoder = load_encoder(name)
    pixels = torch.rand(1, 3, *encoder.info.input_size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = encoder.encode_image(pixels)  # and so its inference twin is there when it is copied
    for copied in (copy.deepcopy(encoder), pickle.loads(pickle.dumps(encoder))):
        assert copied.visual is not encoder.visual
        with torch.inference_mode():
            torch.testing.assert_close(copied.encode_image(pixels), expected, rtol=0, atol=1e-6)
            torch.testing.assert_close(copied.encode_text(["a cat"]), encoder.encode_text(["a cat"]), rtol=0, atol=1e-6)
