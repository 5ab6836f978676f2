"""Small configurations and helpers that this plugin's tests share."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from xtool.plugin import EncoderOptions
from xtool_clip.encoder import ClipEncoder
from xtool_clip.load import load_local

TEXT: dict[str, Any] = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
VIT: dict[str, Any] = {"image_size": 32, "patch_size": 8, "width": 48, "head_width": 16, "layers": 3}
CNN: dict[str, Any] = {"image_size": 64, "layers": [1, 2, 1, 1], "width": 8, "head_width": 16}
CPU = EncoderOptions(device="cpu")


def timm_tower(name: str, size: int, pool: str, proj: str = "linear") -> dict[str, Any]:
    return {"timm_model_name": name, "timm_pool": pool, "timm_proj": proj, "image_size": size}


CNNS: dict[str, dict[str, Any]] = {
    "ModifiedResNet": CNN,
    "convnext": timm_tower("test_convnext", 64, "avg"),
    "resnet": timm_tower("test_resnet", 64, "avg"),
    "efficientnet": timm_tower("test_efficientnet", 64, "avg"),
    "swin": timm_tower("swin_tiny_patch4_window7_224", 224, "avg"),
}
VITS: dict[str, dict[str, Any]] = {
    "VisionTransformer": {**VIT, "image_size": [16, 40]},
    "VisionTransformer, mean": {**VIT, "image_size": [16, 40], "pool_type": "avg"},
    "VisionTransformer, layer scale": {**VIT, "image_size": [16, 40], "ls_init_value": 0.5},
    "VisionTransformer, norms inside": {
        **VIT,
        "image_size": [16, 40],
        "qk_norm": True,
        "scale_attn": True,
        "scale_heads": True,
        "scale_attn_inner": True,
    },
    "CoCa": {**VIT, "image_size": [16, 40], "attentional_pool": True, "attn_pooler_heads": 4},
    "SigLIP": timm_tower("test_vit", 160, "map", proj="none"),
    "timm, class token": timm_tower("test_vit", 160, "token"),
    "timm, mean": timm_tower("test_vit", 160, "avg"),
    "EVA02": timm_tower("eva02_tiny_patch14_224", 224, "token"),
    "PE": timm_tower("vit_pe_core_tiny_patch16_384", 384, "map"),
}

Build = Callable[..., ClipEncoder]


def write_folder(folder: Path, model: dict[str, Any], seed: int = 7) -> Path:
    """A folder in open_clip's layout, with random weights, normalised with 0.5."""
    folder.mkdir()
    config = folder / "open_clip_config.json"
    half = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
    config.write_text(json.dumps({"model_cfg": model, "preprocess_cfg": half}))
    made = load_local("made", config=config, weights=None, options=CPU.model_copy(update={"seed": seed}))
    save_file(made.model.state_dict(), folder / "open_clip_model.safetensors")
    return folder


def noise(encoder: ClipEncoder, batch: int = 2, seed: int = 0) -> torch.Tensor:
    """Pixels of the encoder's input size."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, 3, *encoder.info.input_size, generator=generator)


def hooks_in(module: torch.nn.Module) -> int:
    """Hooks of any kind on a module and all inside it."""
    names = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return sum(len(getattr(part, name)) for part in module.modules() for name in names)
