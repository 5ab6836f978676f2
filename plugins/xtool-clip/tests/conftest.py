"""Small encoders with open_clip's real code, built once per session."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parent))  # pytest does so itself in its default import mode only

from clip_testing import CNN, CNNS, CPU, TEXT, VIT, VITS, Build

from xtool.plugin import EncoderOptions
from xtool_clip.encoder import ClipEncoder
from xtool_clip.load import load, load_local
from xtool_clip.towers import describe


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


@pytest.fixture(scope="module")
def tower(request: pytest.FixtureRequest, build: Build) -> ClipEncoder:
    vision = {**CNNS, **VITS}[request.param]
    torch.manual_seed(0)
    encoder = build(vision, embed_dim=64 if vision.get("timm_proj") == "none" else 32)
    if request.param in VITS and "timm_model_name" in vision:  # two blocks of twelve show as much, and sooner
        trunk: Any = encoder.visual.trunk
        trunk.blocks = trunk.blocks[:2]
        seen = describe(encoder.visual)
        layers = {"layers": seen.layers, "default_layer": seen.layers[-1], "gradient_layer": seen.gradient_layer}
        encoder.info = replace(encoder.info, **layers)
    for part in encoder.visual.modules():  # biases start at zero, and would hide that one is left out
        if isinstance(part, nn.Linear | nn.LayerNorm) and part.bias is not None:
            nn.init.normal_(part.bias, std=0.1)
        for name in ("q_bias", "v_bias", "in_proj_bias"):
            if isinstance(getattr(part, name, None), Tensor):
                nn.init.normal_(getattr(part, name), std=0.1)
    return encoder


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
