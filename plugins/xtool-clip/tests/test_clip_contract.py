"""What xtool-clip takes of open_clip and timm, by name: where an update moves something, this says which.

How these parts behave is what the other tests of this plugin are about. All run with the newest versions (the lock)
and with the lowest that are declared (``.ci/lowest``).
"""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import open_clip
import pytest
import timm
import torch
from torch import nn

USED = {
    "open_clip": "CLIP CoCa CustomTextCLIP SimpleTokenizer download_pretrained get_model_config get_pretrained_cfg "
    "get_tokenizer list_models list_pretrained_tags_by_model",
    "open_clip.constants": "HF_SAFE_WEIGHTS_NAME HF_WEIGHTS_NAME",
    "open_clip.convert": "convert_state_dict",
    "open_clip.model": "convert_to_custom_text_state_dict resize_pos_embed resize_text_pos_embed",
    "open_clip.modified_resnet": "AttentionPool2d ModifiedResNet",
    "open_clip.timm_model": "TimmModel",
    "open_clip.transform": "PreprocessCfg",
    "open_clip.transformer": "Attention AttentionalPooler VisionTransformer",
    "timm.layers": "apply_rot_embed_cat",
    "timm.layers.attention": "Attention AttentionRope",
    "timm.models.eva": "EvaAttention EvaBlock EvaBlockPostNorm",
    "timm.models.vision_transformer": "Block",
}


@pytest.mark.parametrize(
    ("module", "name"), [(module, name) for module, names in USED.items() for name in names.split()]
)
def test_what_is_used_is_where_it_is_looked_for(module: str, name: str) -> None:
    assert hasattr(importlib.import_module(module), name)


def test_open_clip_s_blocks_call_the_attention_that_is_read() -> None:
    """``nn.MultiheadAttention``, whose weights are fused, or open_clip's own ``Attention`` with the same ones."""
    vision = {"image_size": 16, "patch_size": 8, "width": 32, "head_width": 16, "layers": 1}
    text = {"context_length": 8, "vocab_size": 16, "width": 32, "heads": 2, "layers": 1}
    block: Any = open_clip.CLIP(8, vision, text).visual.transformer.resblocks[0]
    assert isinstance(block.attn, nn.MultiheadAttention)
    assert block.attn.in_proj_weight.shape == (96, 32)
    assert {"ln_1", "ls_1", "ln_2", "ls_2", "mlp"} <= dict(block.named_children()).keys()
    with torch.no_grad():
        tokens = torch.randn(2, 5, 32)
        normed = block.ln_1(tokens)
        between = tokens + block.ls_1(block.attn(normed, normed, normed, need_weights=False)[0])
        torch.testing.assert_close(block(tokens), between + block.ls_2(block.mlp(block.ln_2(between))))


def test_open_clip_builds_a_tower_of_timm_from_what_a_config_says() -> None:
    asked = inspect.signature(open_clip.timm_model.TimmModel).parameters
    assert {"model_name", "embed_dim", "image_size", "pool", "proj"} <= asked.keys()


@pytest.mark.parametrize(
    ("model", "parts"),
    [
        ("test_vit", "blocks patch_embed norm attn_pool fc_norm head"),
        ("eva02_tiny_patch14_224", "blocks patch_embed norm fc_norm head"),
    ],
)
def test_a_transformer_of_timm_has_the_parts_that_are_read(model: str, parts: str) -> None:
    trunk: Any = timm.create_model(model, pretrained=False)
    assert all(hasattr(trunk, part) for part in parts.split())
    assert len(trunk.patch_embed.grid_size) == 2
    assert trunk.num_prefix_tokens == 1
    assert {"norm1", "attn", "norm2", "mlp"} <= dict(trunk.blocks[0].named_children()).keys()
