"""Small random towers of every kind that xtool-clip describes, with images and texts for them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from timm.models.eva import Eva
from timm.models.swin_transformer import SwinTransformer
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

FURTHER: dict[str, dict[str, Any]] = {
    "CLIPA": {**VIT, "pool_type": "avg", "final_ln_after_pool": True, "no_ln_pre": True},
    "registers, mean": _timm("test_vit2", 160, "avg"),
    "registers, map": _timm("test_vit3", 160, "map"),
    "relative positions": _timm("test_vit_relpos", 160, "avg"),
    "EVA01": _timm("eva02_tiny_patch14_224", 224, "token"),
    "PE without class token": _timm("vit_pe_core_tiny_patch16_384", 384, "map"),
    "ViTamin": _timm("vitamin_small_224", 224, "avg"),
}
"""Transformers that only pages and tests of every tower look at: none of them takes another way through a method."""

TRUNKS: dict[str, dict[str, Any]] = {
    "EVA01": {
        "patch_size": 14,
        "embed_dim": 192,
        "depth": 2,
        "num_heads": 3,
        "mlp_ratio": 3.0,
        "global_pool": "token",
    },
    "PE without class token": {
        "patch_size": 16,
        "embed_dim": 192,
        "depth": 2,
        "num_heads": 3,
        "mlp_ratio": 3.0,
        "global_pool": "map",
        "attn_type": "rope",
        "class_token": False,
        "use_pre_transformer_norm": True,
        "use_rot_pos_emb": True,
        "ref_feat_shape": (24, 24),
        "rope_grid_indexing": "xy",
        "attn_pool_num_heads": 3,
        "attn_pool_mlp_ratio": 4.0,
    },
    "Swin": {"patch_size": 4, "embed_dim": 96, "depths": (1, 1, 1, 1), "num_heads": (2, 2, 2, 2), "window_size": 2},
}
"""How timm builds ``eva_giant_patch14_224``, ``vit_pe_core_gigantic_patch14_448`` and Swin, of which none of its own is
small: sizes apart, the arguments are its own."""

CNNS: dict[str, dict[str, Any]] = {
    "ResNet": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8, "patch_size": None, "head_width": 8},
    "ConvNeXt": _timm("test_convnext", 160, "avg"),
    "EfficientNet": _timm("test_efficientnet", 160, "avg"),
    "FastViT": _timm("fastvit_mci0", 256, "avg"),
    "Swin": _timm("swin_tiny_patch4_window7_224", 224, "avg"),
}


SWIN_SIDE = 64
SMALL = {"test": 64, "eva02": 56, "vit": 64, "fastvit": 64, "vitamin": 64}
"""Sides of small images for models of timm, by how their names begin."""


def make_tower(kind: str, *, small: bool = False) -> ClipEncoder:
    """A random tower of a kind above, with every bias and attention set apart from zero.

    With ``small``, timm's are given images of four by four patches only.
    """
    vision = {**TOWERS, **FURTHER, **CNNS}[kind]
    torch.manual_seed(0)
    content = {"embed_dim": 64 if vision.get("timm_proj") == "none" else 32, "vision_cfg": vision, "text_cfg": TEXT}
    model = str(vision.get("timm_model_name", ""))
    with TemporaryDirectory() as folder:
        config = Path(folder) / "config.json"
        config.write_text(json.dumps(content))
        size = SMALL.get(model.partition("_")[0]) if small else None
        options = EncoderOptions(device="cpu", input_size=size)
        encoder = load_local("small", config=config, weights=None, options=options)
    visual: Any = encoder.visual
    if kind in TRUNKS:
        build = SwinTransformer if kind == "Swin" else Eva
        side = SWIN_SIDE if kind == "Swin" else encoder.info.input_size[0]
        visual.trunk = build(img_size=side, num_classes=0, **TRUNKS[kind]).eval()
        visual.image_size = (side, side)
        encoder.info = replace(encoder.info, input_size=(side, side))
    if model and kind not in CNNS:
        visual.trunk.blocks = visual.trunk.blocks[:2]  # two blocks of twelve show as much, and sooner
        seen = describe(visual)
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
    """Random ViT-B-16 at 224 px, with every bias set apart from zero: the size that papers report on."""
    encoder = load("ViT-B-16", EncoderOptions(device="cpu", pretrained="none"))
    torch.manual_seed(3)
    for name, parameter in encoder.visual.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(parameter, std=0.1)
    return encoder
