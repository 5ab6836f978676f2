"""The CAM family and the adapter on towers of every build: all that they know of one is what its encoder describes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from xtool.plugin import Encoder, EncoderOptions
from xtool_cam.ablationcam import AblationCAM
from xtool_cam.config import AblationCAMConfig, GradCAMPlusPlusConfig, GradientConfig, PGCConfig
from xtool_cam.gradient import GradCAM, GradCAMPlusPlus, LayerCAM
from xtool_cam.pgc import PytorchGradCAM
from xtool_clip.load import load_local
from xtool_timm.load import load as load_classifier

CPU = EncoderOptions(device="cpu")
TEXT = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
TOWERS: dict[str, tuple[dict[str, Any], tuple[int, int]]] = {
    "ModifiedResNet": ({"image_size": 64, "layers": [1, 1, 1, 1], "width": 8, "head_width": 16}, (2, 2)),
    "VisionTransformer": ({"image_size": [16, 40], "patch_size": 8, "width": 32, "head_width": 8, "layers": 2}, (2, 5)),
    "SigLIP": ({"timm_model_name": "test_vit", "timm_pool": "map", "timm_proj": "none", "image_size": 160}, (10, 10)),
    "ConvNeXt": (
        {"timm_model_name": "test_convnext", "timm_pool": "avg", "timm_proj": "linear", "image_size": 64},
        (2, 2),
    ),
}
METHODS = {
    "gradcam": GradCAM(GradientConfig()),
    "gradcam++": GradCAMPlusPlus(GradCAMPlusPlusConfig()),
    "layercam": LayerCAM(GradientConfig()),
    "ablationcam": AblationCAM(AblationCAMConfig()),
    "FinerCAM": PytorchGradCAM(PGCConfig(name="FinerCAM")),
    "EigenGradCAM": PytorchGradCAM(PGCConfig(name="EigenGradCAM")),
    "ShapleyCAM": PytorchGradCAM(PGCConfig(name="ShapleyCAM")),
}


def open_clip_tower(vision: dict[str, Any], folder: Path) -> Encoder:
    config = folder / "config.json"
    config.write_text(
        json.dumps(
            {"embed_dim": 64 if vision.get("timm_proj") == "none" else 16, "vision_cfg": vision, "text_cfg": TEXT}
        )
    )
    return load_local("small", config=config, weights=None, options=CPU)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("tower", TOWERS)
def test_a_map_of_the_layers_own_size(tower: str, method: str, tmp_path: Path) -> None:
    vision, size = TOWERS[tower]
    _explains(open_clip_tower(vision, tmp_path), method, size)


@pytest.mark.parametrize("method", METHODS)
def test_the_same_on_a_classifier_of_timm(method: str) -> None:
    _explains(load_classifier("timm-test_resnet", CPU), method, None)


def _explains(encoder: Encoder, method: str, size: tuple[int, int] | None) -> None:
    pixels = torch.randn(1, 3, *encoder.info.input_size, generator=torch.Generator().manual_seed(0))
    text = encoder.encode_text(["goldfish", "tench"])
    both = torch.cat([text, -text])  # what speaks against a text speaks for its opposite: one of them has a map
    with torch.no_grad():
        maps = METHODS[method].explain(encoder, pixels, both).maps
    assert maps.shape[:2] == (1, 4)
    assert size is None or maps.shape[2:] == size
    assert maps.isfinite().all()
    assert maps.any()
