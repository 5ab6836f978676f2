"""Two versions of the code against each other, by pytest-benchmark: boxes, mask engine, start-up.

``uv run pytest benchmarks/bench_versions.py --benchmark-autosave``, then ``pytest-benchmark compare`` over two
commits. Ratios and the tables of docs/benchmarks.md come from ``python -m benchmarks.speed``.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch

import xtool
from xtool.image.geometry import Geometry
from xtool.plugin import Dtype, Encoder, box_sweep, embed_masked

THRESHOLDS = np.linspace(0.0, 0.99, 100)
GEOMETRY = Geometry.of((500, 375), (224, 224))
IMAGES = 64


@pytest.mark.parametrize("cells", [4, 7, 14])
def test_boxes_of_a_smooth_map(benchmark: Any, cells: int) -> None:
    # The worst kind of map of this resolution: every cell of its own height.
    heat = GEOMETRY.map_to_image(np.random.default_rng(0).random((cells, cells)))
    assert len(benchmark(box_sweep, heat, THRESHOLDS)) == len(THRESHOLDS)


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def encoder(request: pytest.FixtureRequest) -> Encoder:
    dtype: Dtype = request.param
    return xtool.load_encoder("tiny-rn", device="cpu", dtype=dtype)


def test_encoder_alone(benchmark: Any, encoder: Encoder) -> None:
    pixels = torch.rand(IMAGES, 3, 224, 224)
    with torch.inference_mode():
        assert len(benchmark(encoder.encode_image, pixels)) == IMAGES


def test_mask_engine(benchmark: Any, encoder: Encoder) -> None:
    pixels, maps = torch.rand(1, 3, 224, 224), torch.rand(1, IMAGES, 7, 7)
    assert benchmark(embed_masked, encoder, pixels, maps).alive.all()


@pytest.mark.parametrize("command", [["-c", "import xtool"], ["-m", "xtool", "--help"], ["-m", "xtool", "plugins"]])
def test_startup(benchmark: Any, command: list[str]) -> None:
    benchmark.pedantic(subprocess.run, ([sys.executable, *command],), {"stdout": subprocess.DEVNULL}, rounds=10)
