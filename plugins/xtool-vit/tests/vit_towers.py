"""Small random towers of every kind that xtool-clip describes, with images and texts for them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xtool.plugin import EncoderOptions
from xtool_clip.encoder import ClipEncoder
from xtool_clip.load import load, load_local
from xtool_clip.towers import describe

TEXT: dict[str, Any] = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
VIT: dict[str, Any] = {"image_size": [16, 40], "patch_size": 8, "width": 48, "head_width": 16, "layers": 3}


def _timm(name: str, size: int, pool: str, proj: str = "linear") -> dict[str, Any]:
    return {"timm_model_name": name, "timm_pool": pool, "timm_proj": proj, "image_size": size}


TOWERS: dict[str, dict[str, Any]] = {
    "class token": VIT,
    "mean": {**VIT, "pool_type": "avg"},
    "layer scale": {**VIT, "ls_init_value": 0.5},
    "CoCa": {**VIT, "attentional_pool": True, "attn_pooler_heads": 4},
    "SigLIP": _timm("test_vit", 160, "map", proj="none"),
    "timm, class token": _timm("test_vit", 160, "token"),
    "timm, mean": _timm("test_vit", 160, "avg"),
    "EVA02": _timm("eva02_tiny_patch14_224", 224, "token"),
    "PE": _timm("vit_pe_core_tiny_patch16_384", 384, "map"),
}

CNNS: dict[str, dict[str, Any]] = {
    "ResNet": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8, "patch_size": None, "head_width": 8},
    "ConvNeXt": _timm("test_convnext", 160, "avg"),
    "EfficientNet": _timm("test_efficientnet", 160, "avg"),
}


def make_tower(kind: str, *, small: bool = False) -> ClipEncoder:
    """A random tower of a kind in :data:`TOWERS` or :data:`CNNS`, with every bias and attention set apart from zero.

    With ``small``, timm's are given images of four by four patches only.
    """
    vision = {**TOWERS, **CNNS}[kind]
    torch.manual_seed(0)
    content = {
        "embed_dim": 64 if vision.get("timm_proj") == "none" else 32,
        "vision_cfg": vision,
        "text_cfg": TEXT,
    }
    with TemporaryDirectory() as folder:
        config = Path(folder) / "config.json"
        config.write_text(json.dumps(content))
        size = {"160": 64, "224": 56, "384": 64}.get(str(vision["image_size"])) if small else None
        options = EncoderOptions(device="cpu", input_size=size)
        encoder = load_local("small", config=config, weights=None, options=options)
    if "timm_model_name" in vision and kind in TOWERS:  # two blocks of twelve show as much, and sooner
        trunk: Any = encoder.visual.trunk
        trunk.blocks = trunk.blocks[:2]
        seen = describe(encoder.visual)
        layers = {"layers": seen.layers, "default_layer": seen.layers[-1], "gradient_layer": seen.gradient_layer}
        encoder.info = replace(encoder.info, **layers)
    for part in encoder.visual.modules():  # biases start at zero, and would hide that one is left out
        if isinstance(part, nn.Linear | nn.LayerNorm) and part.bias is not None:
            nn.init.normal_(part.bias, std=0.1)
        for name in ("in_proj_weight", "q_bias", "v_bias", "in_proj_bias"):
            if isinstance(getattr(part, name, None), Tensor):
                nn.init.normal_(getattr(part, name), std=0.2)
    return encoder


def pixels_for(encoder: ClipEncoder, count: int = 2, seed: int = 1) -> Tensor:
    """Noise of the encoder's input size."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 3, *encoder.info.input_size, generator=generator)


def texts_for(encoder: ClipEncoder, count: int = 3) -> Tensor:
    """Unit text embeddings [T, D]."""
    return F.normalize(torch.randn(count, encoder.info.embed_dim, generator=torch.Generator().manual_seed(2)), dim=1)


def make_base() -> ClipEncoder:
    """Random ViT-B-16 at 224 px: the size that papers report on."""
    return load("ViT-B-16", EncoderOptions(device="cpu", pretrained="none"))
