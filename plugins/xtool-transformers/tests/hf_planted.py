"""Models of transformers with weights set by hand, so that their evidence for a colour lies where the colour is.

They are the planted encoders of :mod:`xtool.testing` in transformers' own code, one for each way of pooling: CLIP's
class token, SigLIP's probe, the mean of ALIGN's last maps. Images are not square, so that rows cannot pass for columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from torch.nn import functional as F

from xtool.plugin import EncoderInfo
from xtool.testing.planted import CELL, COLOURS, DIMENSIONS, background_direction, colour_directions, text_embedding
from xtool.testing.planted_transformer import (
    ANCHOR,
    ANCHORS,
    DETECTED,
    EVIDENCE,
    HEADS,
    SLOT,
    WIDTH,
    PlantedTransformer,
    plant,
)
from xtool_transformers.align import AlignTower
from xtool_transformers.encoder import TransformersEncoder
from xtool_transformers.tower import ImageTower
from xtool_transformers.transformer import ClipTower, SiglipTower

SIZE = (48, 80)
VISION: dict[str, Any] = {
    "hidden_size": WIDTH,
    "num_attention_heads": HEADS,
    "num_hidden_layers": 2,
    "intermediate_size": WIDTH,
    "image_size": 48,
    "patch_size": CELL,
    "hidden_act": "relu",
}


class ColourTexts:
    """In a text tower's place: texts name colours."""

    def __init__(self, model: nn.Module, width: int) -> None:
        self.model = model
        self.width = width

    def embed(self, texts: Sequence[str], _device: torch.device) -> Tensor:
        embedded = torch.stack([text_embedding(text) for text in texts])
        return F.pad(embedded, (0, self.width - DIMENSIONS))


@torch.no_grad()
def planted(family: str) -> TransformersEncoder:
    """The encoder of ``clip``, ``siglip`` or ``align``."""
    model, tower, width = {"clip": _clip, "siglip": _siglip, "align": _align}[family]()
    info = EncoderInfo(
        name=f"planted-{family}",
        architecture=tower.architecture,
        input_size=SIZE,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        embed_dim=width,
        patch_size=tower.patch_size,
        layers=tower.layers,
        default_layer=tower.layers[-1],
        gradient_layer=tower.gradient_layer,
        default_features="hf-spatial" if family == "align" else "hf-tokens",
        weights="planted",
        pools_masks=tower.pools_masks,
    )
    return TransformersEncoder(tower, ColourTexts(model, width), info)  # type: ignore[arg-type]


def _clip() -> tuple[nn.Module, ImageTower, int]:
    config = transformers.CLIPConfig(
        vision_config=VISION,
        text_config={"num_hidden_layers": 1, "hidden_size": 8, "num_attention_heads": 1, "intermediate_size": 8},
        projection_dim=DIMENSIONS,
    )
    model = transformers.CLIPModel(config)
    vision, like = model.vision_model, _planted()
    _copy_blocks(vision, like)
    vision.embeddings.class_embedding.copy_(like.prefix_embedding[0])
    for norm in (vision.pre_layrnorm, vision.post_layernorm):
        _near_identity(norm)
    model.visual_projection.weight.copy_(like.proj.T)
    return model, ClipTower(vision, model.visual_projection, SIZE), DIMENSIONS


def _siglip() -> tuple[nn.Module, ImageTower, int]:
    config = transformers.SiglipConfig(
        vision_config=VISION,
        text_config={"num_hidden_layers": 1, "hidden_size": 8, "num_attention_heads": 1, "intermediate_size": 8},
    )
    model = transformers.SiglipModel(config)
    vision, like = model.vision_model, _planted()
    _copy_blocks(vision, like)
    vision.embeddings.patch_embedding.bias.zero_()
    _near_identity(vision.post_layernorm)
    head = vision.head
    for parameter in head.parameters():
        parameter.zero_()
    # In the last block patches ask those of their own colour, so that what is pooled has come through its attention.
    for colour in range(len(COLOURS)):
        vision.encoder.layers[-1].self_attn.k_proj.weight[colour * SLOT + 1, DETECTED[colour]] = 1.0
    # One head for each colour: the probe asks for it, patches answer with and hand over how much they have.
    query, key, value = head.attention.in_proj_weight.chunk(3)
    head.probe[0, 0, 0] = 1.0
    for colour in range(len(COLOURS)):
        slot = colour * SLOT
        query[slot, 0] = 1.0
        key[slot, EVIDENCE[colour]] = 1.0
        value[slot, EVIDENCE[colour]] = 1.0
        head.attention.out_proj.weight[:DIMENSIONS, slot] = 4.0 * colour_directions()[colour]
    head.attention.out_proj.bias[:DIMENSIONS] = background_direction()
    return model, SiglipTower(vision, SIZE), WIDTH


def _align() -> tuple[nn.Module, ImageTower, int]:
    """Two stages of a block each: the first detects colours, and the second writes their directions."""
    config = transformers.AlignConfig(
        vision_config={
            "width_coefficient": 0.25,
            "depth_coefficient": 1.0,
            "in_channels": [32, 32],
            "out_channels": [32, 32],
            "kernel_sizes": [3, 3],
            "strides": [1, 2],
            "num_block_repeats": [1, 1],
            "expand_ratios": [1, 1],
            "hidden_act": "relu",
        },
        text_config={"num_hidden_layers": 1, "hidden_size": 8, "num_attention_heads": 1, "intermediate_size": 8},
        projection_dim=DIMENSIONS,
    )
    model = transformers.AlignModel(config)
    vision = model.vision_model
    for name, parameter in vision.named_parameters():
        parameter.fill_(1.0 if name.endswith(("norm.weight", "bn.weight")) else 0.0)
    opponent = 1.5 * torch.eye(3) - 0.5  # a colour, minus half of each other one
    vision.embeddings.convolution.weight[:3, :, 1, 1] = opponent
    vision.embeddings.batchnorm.bias[:3] = -0.2
    detect, write = vision.encoder.blocks
    for block in (detect, write):
        block.depthwise_conv.depthwise_conv.weight[:, 0, 1, 1] = 1.0
        block.squeeze_excite.expand.bias.fill_(20.0)  # a sigmoid of 1: everything passes
    detect.projection.project_conv.weight[:, :, 0, 0] = torch.eye(8)
    write.projection.project_conv.weight[:, :3, 0, 0] = 4.0 * colour_directions().T
    write.projection.project_bn.bias.copy_(background_direction())
    return model, AlignTower(vision, SIZE), DIMENSIONS


def _planted() -> Any:
    like = PlantedTransformer((SIZE[0] // CELL, SIZE[1] // CELL))
    plant(like)
    return like


def _copy_blocks(vision: Any, like: Any) -> None:
    """Patch embedding, positions and blocks: transformers keeps queries, keys and values apart."""
    vision.embeddings.patch_embedding.weight.copy_(like.conv1.weight)
    vision.embeddings.position_embedding.weight.copy_(like.positional_embedding[:1])  # the same everywhere
    for block, of in zip(vision.encoder.layers, like.blocks, strict=True):
        attention = block.self_attn
        parts = zip(of.attn.in_proj_weight.chunk(3), of.attn.in_proj_bias.chunk(3), strict=True)
        for projection, (weight, bias) in zip(
            (attention.q_proj, attention.k_proj, attention.v_proj), parts, strict=True
        ):
            projection.weight.copy_(weight)
            projection.bias.copy_(bias)
        attention.out_proj.load_state_dict(of.attn.out_proj.state_dict())
        block.layer_norm1.load_state_dict(of.ln_1.state_dict())
        block.layer_norm2.load_state_dict(of.ln_2.state_dict())
        block.mlp.fc1.load_state_dict(of.mlp.c_fc.state_dict())
        block.mlp.fc2.load_state_dict(of.mlp.c_proj.state_dict())


def _near_identity(norm: nn.LayerNorm) -> None:
    """Two large constant entries decide the standard deviation, and the weight gives back what it takes."""
    norm.weight.fill_(ANCHOR * (len(ANCHORS) / WIDTH) ** 0.5)
    norm.bias.zero_()
