"""The dense family against loops over raw modules, preset by preset, on every kind of tower."""

from __future__ import annotations

import math

import pytest
import torch
from raw_towers import RawBlock, alone, grid_of, prefix, raw_blocks
from torch import Tensor
from torch.nn import functional as F
from vit_towers import pixels_for, texts_for

from xtool.plugin import UsageError, read_stream
from xtool_clip.encoder import ClipEncoder
from xtool_vit.config import DenseConfig
from xtool_vit.dense import Dense, fused_attention, neighbourhood, token_features

EXACT = {"rtol": 1e-4, "atol": 1e-5}


def alike(heads: Tensor, bias: Tensor | float = 0.0) -> list[Tensor]:
    """softmax(x xᵀ / √d + bias) of every head."""
    return [(x @ x.T / math.sqrt(x.shape[-1]) + bias).softmax(dim=-1) for x in heads]


def gaussian(encoder: ClipEncoder, count: int) -> Tensor:
    """NACLIP's, with σ = 5 patches, so that 2 σ² is 50."""
    first, patches, width = prefix(encoder), torch.arange(count - prefix(encoder)), grid_of(encoder)[1]
    rows, columns = patches // width, patches % width
    squares = (rows[:, None] - rows) ** 2 + (columns[:, None] - columns) ** 2
    near = torch.zeros(count, count)
    near[first:, first:] = math.e ** (-squares / 50)
    return near


def cliper_mixture(blocks: list[RawBlock]) -> list[Tensor]:
    """The attention of all blocks but the last, head by head: added, balanced, symmetric, sparse."""
    mixtures = []
    for head in range(len(blocks[0].qkv[0])):
        total = sum(block.attention()[head] for block in blocks[:-1])
        total = total / total.sum(dim=0)
        total = total / total.sum(dim=1)[:, None]
        total = (total + total.T) / 2
        total = torch.relu(total - total.mean(dim=0))
        mixtures.append(total / total.sum(dim=1)[:, None])
    return mixtures


def expected(encoder: ClipEncoder, blocks: list[RawBlock], preset: str, text: Tensor) -> Tensor:
    """[T, patches] the preset's map, from the paper's description."""
    last = blocks[-1]
    q, k, v = last.qkv
    if preset == "cliper":
        mixture = cliper_mixture(blocks)
        inputs = [*(block.normed for block in blocks[:-1]), last.x]
        values = [last.project(last.norm(x))[2] for x in inputs]
        outputs = [last.merged([w @ v for w, v in zip(mixture, each, strict=True)]) for each in values]
        return torch.stack([text @ alone(encoder, y[prefix(encoder) :]).T for y in outputs]).mean(dim=0)
    mixtures = {
        "maskclip": lambda: None,
        "value": lambda: None,
        "sclip": lambda: [one + other for one, other in zip(alike(q), alike(k), strict=True)],
        "clearclip": lambda: alike(q),
        "naclip": lambda: alike(k, gaussian(encoder, k.shape[1])),
    }
    mixture = mixtures[preset]()
    heads = v if mixture is None else [w @ v for w, v in zip(mixture, v, strict=True)]
    y = last.after(heads) if preset in ("value", "sclip") else last.merged(heads)
    return text @ alone(encoder, y[prefix(encoder) :]).T


def check_presets(encoder: ClipEncoder) -> None:
    pixels, text = pixels_for(encoder, 1), texts_for(encoder, 2)
    with torch.no_grad():
        blocks = raw_blocks(encoder, pixels)
        for preset, options in DenseConfig.presets.items():
            found = Dense(DenseConfig(**options)).explain(encoder, pixels, text).maps
            torch.testing.assert_close(
                found[0].flatten(1), expected(encoder, blocks, preset, text), **EXACT, msg=preset
            )


def test_each_preset_is_its_paper_s_formula_on_every_tower(tower: ClipEncoder) -> None:
    check_presets(tower)


@pytest.mark.slow
def test_each_preset_is_its_paper_s_formula_on_vit_b_16(base: ClipEncoder) -> None:
    check_presets(base)


def test_with_its_own_attention_residual_and_feed_forward_the_tokens_are_the_model_s(tower: ClipEncoder) -> None:
    pixels = pixels_for(tower, 1)
    config = DenseConfig(attention="own", locality=None)
    with torch.no_grad():
        (found,) = token_features(read_stream(tower, pixels), config)
        tokens = alone(tower, raw_blocks(tower, pixels)[-1].output())
    torch.testing.assert_close(F.normalize(found[0], dim=-1), tokens, **EXACT)


def test_the_class_token_s_own_row_is_the_image_s_embedding(vit: ClipEncoder) -> None:
    pixels = pixels_for(vit)
    with torch.no_grad():
        (found,) = token_features(read_stream(vit, pixels), DenseConfig(attention="own", locality=None))
        torch.testing.assert_close(F.normalize(found[:, 0], dim=-1), vit.encode_image(pixels), **EXACT)


def test_near_patches_are_favoured_by_a_gaussian_and_the_class_token_by_none(vit: ClipEncoder) -> None:
    grid = read_stream(vit, pixels_for(vit, 1)).grid
    torch.testing.assert_close(neighbourhood(grid, 5.0), gaussian(vit, grid.tokens))
    assert float(neighbourhood(grid, 5.0)[0].abs().max()) == 0


def test_without_rotation_alike_queries_are_those_before_they_are_turned(tower: ClipEncoder) -> None:
    pixels, text = pixels_for(tower, 1), texts_for(tower, 1)
    maps = [
        Dense(DenseConfig(attention="qq", rotation=when)).explain(tower, pixels, text).maps
        for when in ("after", "before")
    ]
    rotates = read_stream(tower, pixels).rotations[-1] is not None
    assert torch.equal(*maps) != rotates


def test_fused_attention_needs_earlier_blocks(vit: ClipEncoder) -> None:
    from dataclasses import replace

    stream = read_stream(vit, pixels_for(vit, 1))
    one = replace(stream, blocks=stream.blocks[-1:], tokens=stream.tokens[-2:], rotations=stream.rotations[-1:])
    with pytest.raises(UsageError, match="attention=fused adds the attention of several blocks"):
        fused_attention(one)


def test_sharpness_is_an_exponential_in_the_model_s_own_scale_on_cosines(vit: ClipEncoder) -> None:
    pixels, text = pixels_for(vit, 1), texts_for(vit, 2)
    plain = Dense(DenseConfig(sharpness=None, above_mean=False)).explain(vit, pixels, text).maps
    sharp = Dense(DenseConfig(sharpness=0.5, above_mean=False)).explain(vit, pixels, text).maps
    scale = math.exp(vit.model.logit_scale.item())
    for found, value in zip(sharp.flatten().tolist(), plain.flatten().tolist(), strict=True):
        assert found == pytest.approx(math.exp(0.5 * scale * value), rel=1e-4)
