"""Small encoders with open_clip's real code, built once per session."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # pytest does so itself in its default import mode only

from clip_testing import CNN, CPU, TEXT, VIT, Build

from xtool.plugin import EncoderOptions
from xtool_clip.encoder import ClipEncoder
from xtool_clip.load import load, load_local


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Build a small encoder, random unless ``weights`` are given; other keywords go to the top of its configuration."""
    folder = tmp_path_factory.mktemp("configs")

    def build_one(
        vision: dict[str, Any],
        *,
        text: dict[str, Any] | None = None,
        weights: Path | None = None,
        options: EncoderOptions = CPU,
        **extra: Any,
    ) -> ClipEncoder:
        config = folder / "config.json"
        content = {"embed_dim": 24, "vision_cfg": vision, "text_cfg": {**TEXT, **(text or {})}, **extra}
        config.write_text(json.dumps(content))
        return load_local("small", config=config, weights=weights, options=options)

    return build_one


@pytest.fixture(scope="session")
def cnn(build: Build) -> ClipEncoder:
    return build(CNN)


@pytest.fixture(scope="session")
def vit(build: Build) -> ClipEncoder:
    return build(VIT)


@pytest.fixture(scope="session")
def wide_vit(build: Build) -> ClipEncoder:
    """Two rows and five columns of patches: rows and columns cannot be mistaken for each other."""
    return build({**VIT, "image_size": [16, 40]})


@pytest.fixture(scope="session")
def rn50() -> ClipEncoder:
    return load("RN50", CPU)


@pytest.fixture(scope="session")
def vit_b_16() -> ClipEncoder:
    return load("ViT-B-16", CPU)
