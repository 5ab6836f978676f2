"""The mask engine against the encoder alone, on the bundled model: ``uv run pytest benchmarks/bench_engine.py``

Compare the two means per image; ``python -m benchmarks.speed engine`` measures the ratio itself.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

import xtool
from xtool.contracts.config import Dtype
from xtool.contracts.protocols import Encoder
from xtool.engine.masking import embed_masked

IMAGES = 64


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def encoder(request: pytest.FixtureRequest) -> Encoder:
    dtype: Dtype = request.param
    return xtool.load_encoder("tiny-rn", device="cpu", dtype=dtype)


def test_encoder_alone(benchmark: Any, encoder: Encoder) -> None:
    pixels = torch.rand(IMAGES, 3, 224, 224)
    with torch.inference_mode():
        assert len(benchmark(encoder.encode_image, pixels)) == IMAGES


def test_engine(benchmark: Any, encoder: Encoder) -> None:
    pixels, maps = torch.rand(1, 3, 224, 224), torch.rand(1, IMAGES, 7, 7)
    assert benchmark(embed_masked, encoder, pixels, maps).alive.all()
