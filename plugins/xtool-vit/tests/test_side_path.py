"""GEM and CLIP Surgery against loops over raw modules, on every kind of tower."""

from __future__ import annotations

import math

import pytest
import torch
from raw_towers import RawBlock, alone, prefix, raw_blocks
from torch import Tensor
from torch.nn import functional as F
from vit_towers import make_tower, pixels_for, texts_for

from xtool_clip.encoder import ClipEncoder
from xtool_vit.config import GemConfig, SurgeryConfig
from xtool_vit.gem import Gem
from xtool_vit.surgery import Surgery

EXACT = {"rtol": 1e-4, "atol": 1e-5}


def surgery_heads(block: RawBlock) -> list[Tensor]:
    """softmax(v vᵀ / √d) v of every head."""
    return [(v @ v.T / math.sqrt(v.shape[-1])).softmax(dim=-1) @ v for v in block.qkv[2]]


def gem_heads(block: RawBlock) -> list[Tensor]:
    """The mean over p = q, k, v of softmax(p pᵀ/τ) v, with p of unit length, grouped once, and of unit length again."""
    q, k, v = block.qkv
    sharpness = sum(float(token.norm()) for token in block.normed) / len(block.normed) / math.sqrt(v.shape[-1])
    heads = []
    for head in range(len(v)):
        outputs = []
        for p in (q[head], k[head], v[head]):
            p = F.normalize(p, dim=-1)
            p = F.normalize((sharpness * p @ p.T).softmax(dim=-1) @ p, dim=-1)
            outputs.append((sharpness * p @ p.T).softmax(dim=-1) @ v[head])
        heads.append((outputs[0] + outputs[1] + outputs[2]) / 3)
    return heads


def check(encoder: ClipEncoder, blocks_beside: int = 6) -> None:
    pixels, text = pixels_for(encoder, 1), texts_for(encoder, 2)
    with torch.no_grad():
        beside = raw_blocks(encoder, pixels)[-blocks_beside:]
        for method, heads, towards in (
            (Gem(GemConfig(**GemConfig.presets["paper"])), gem_heads, text),
            (Surgery(SurgeryConfig(**SurgeryConfig.presets["paper"])), surgery_heads, text - encoder.encode_text([""])),
        ):
            tokens = beside[0].x
            for block in beside:
                tokens = tokens + block.merged(heads(block))
            expected = towards @ alone(encoder, tokens[prefix(encoder) :]).T
            found = method.explain(encoder, pixels, text).maps[0].flatten(1)
            torch.testing.assert_close(found, expected, **EXACT, msg=type(method).__name__)


def test_gem_and_surgery_are_their_papers_formulas_on_every_tower(tower: ClipEncoder) -> None:
    check(tower)


@pytest.mark.slow
def test_gem_and_surgery_are_their_papers_formulas_on_vit_b_16(base: ClipEncoder) -> None:
    check(base)


def test_a_shorter_side_path_starts_later() -> None:
    vit = make_tower("class token")  # three blocks
    pixels, text = pixels_for(vit, 1), texts_for(vit, 1)
    with torch.no_grad():
        last = raw_blocks(vit, pixels)[-1]
        expected = text @ alone(vit, (last.x + last.merged(surgery_heads(last)))[1:]).T
    found = Surgery(SurgeryConfig(blocks=1, common="keep", above_mean=False)).explain(vit, pixels, text).maps
    torch.testing.assert_close(found[0].flatten(1), expected, **EXACT)
