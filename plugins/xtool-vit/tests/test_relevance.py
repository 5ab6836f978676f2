"""Chefer's relevance against loops over raw modules, and against finite differences."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import torch
from raw_towers import grid_of, projected, raw_blocks
from torch import Tensor
from vit_towers import make_tower, pixels_for, texts_for

from xtool.plugin import UsageError, read_stream
from xtool_clip.encoder import ClipEncoder
from xtool_vit.config import CheferConfig
from xtool_vit.relevance import Chefer


def expected_map(encoder: ClipEncoder, pixels: Tensor, text: Tensor, start: int) -> Tensor:
    """[h, w] of a tower with a class token, from the description: a loop over blocks and heads."""
    blocks = raw_blocks(encoder, pixels)[start:]
    tokens, chain = blocks[0].x, []
    for block in blocks:
        attention = block.at(tokens).attention()
        chain.append(attention)
        tokens = block.at(tokens).output(attention)
    logit = encoder.info.logit_scale * (projected(encoder.visual, tokens[0]) @ text)
    relevance = torch.eye(len(tokens))
    for attention, gradient in zip(chain, torch.autograd.grad(logit, chain), strict=True):
        mean = sum((g * a.detach()).clamp(min=0) for g, a in zip(gradient, attention, strict=True)) / len(attention)
        relevance = relevance + mean @ relevance
    return relevance[0, 1:].view(grid_of(encoder))


@pytest.mark.parametrize("start", [-1, -2, 0])
@pytest.mark.parametrize("kind", ["class token", "layer scale"])
def test_it_is_the_description_written_as_loops(kind: str, start: int) -> None:
    encoder = make_tower(kind)
    pixels, text = pixels_for(encoder, 1), texts_for(encoder, 2)
    found = Chefer(CheferConfig(start_layer=start)).explain(encoder, pixels, text).maps
    for index in range(2):
        expected = expected_map(encoder, pixels, text[index], range(3)[start])
        torch.testing.assert_close(found[0, index], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("start", [-1, 8])
def test_it_is_the_same_on_vit_b_16(base: ClipEncoder, start: int) -> None:
    pixels, text = pixels_for(base, 1), texts_for(base, 1)
    found = Chefer(CheferConfig(start_layer=start)).explain(base, pixels, text).maps[0, 0]
    expected = expected_map(base, pixels, text[0], range(12)[start])
    assert float((found - expected).abs().max() / expected.max()) < 1e-4


def test_the_last_blocks_relevance_is_attention_times_a_finite_difference(vit: ClipEncoder) -> None:
    double = deepcopy(vit)
    double.model.double()
    pixels, text = pixels_for(vit, 1), texts_for(vit, 1)[0].double()
    block = raw_blocks(double, pixels.double())[-1]
    expected = torch.zeros(len(block.x) - 1, dtype=torch.float64)
    with torch.no_grad():
        attention = block.attention()

        def logit(head: int, key: int, change: float) -> float:
            changed = attention.clone()
            changed[head, 0, key] += change
            return vit.info.logit_scale * float(projected(double.visual, block.output(changed)[0]) @ text)

        for head, weights in enumerate(attention):
            for key in range(1, len(block.x)):
                slope = (logit(head, key, 1e-4) - logit(head, key, -1e-4)) / 2e-4
                expected[key - 1] += max(0.0, slope * float(weights[0, key])) / len(attention)
    found = Chefer(CheferConfig()).explain(vit, pixels, text.float()[None]).maps[0, 0]
    torch.testing.assert_close(found.flatten(), expected.float(), rtol=1e-3, atol=1e-6)


def test_a_mean_over_tokens_takes_the_mean_of_the_rows() -> None:
    encoder = make_tower("mean")
    visual: Any = encoder.visual
    pixels, text = pixels_for(encoder, 1), texts_for(encoder, 1)
    block = raw_blocks(encoder, pixels)[-1]
    attention = block.attention()
    pooled = visual.ln_post(block.output(attention))[1:].mean(dim=0) @ visual.proj
    logit = encoder.info.logit_scale * (pooled @ text[0]) / pooled.norm()
    (gradient,) = torch.autograd.grad(logit, attention)
    mean = sum((g * a.detach()).clamp(min=0) for g, a in zip(gradient, attention, strict=True)) / len(attention)
    expected = (torch.eye(len(block.x)) + mean)[1:].mean(dim=0)[1:]
    found = Chefer(CheferConfig()).explain(encoder, pixels, text).maps[0, 0]
    torch.testing.assert_close(found.flatten(), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", ["CoCa", pytest.param("SigLIP", marks=pytest.mark.slow)])
def test_an_attention_that_pools_is_one_more_attention(kind: str) -> None:
    encoder = make_tower(kind)
    pixels, text = pixels_for(encoder, 1), texts_for(encoder, 1)
    found = Chefer(CheferConfig()).explain(encoder, pixels, text).maps[0, 0]
    stream = read_stream(encoder, pixels)
    block, tokens = stream.blocks[-1], stream.into(-1)
    with torch.no_grad():
        heads = stream.heads(-1)
        attention = block.attention.weights(heads)
        shares = stream.pooling.shares(stream.tokens[-1])

        def logit(weights: Tensor, given: Tensor | None = None) -> float:
            after = block.output(tokens, heads, weights @ heads.values)
            pool = stream.pooling.shares(after) if given is None else given
            embedding = stream.pooling.embed_shared(after, pool)[0].double()
            return encoder.info.logit_scale * float(embedding @ text[0].double() / embedding.norm())

        def slope_of(place: tuple[int, ...], of_pool: bool) -> float:
            ends = []
            for sign in (1, -1):
                changed = (shares if of_pool else attention).clone()
                changed[place] += sign * 2e-3
                ends.append(logit(attention, changed) if of_pool else logit(changed))
            return (ends[0] - ends[1]) / 4e-3

        pool_row = torch.zeros(stream.grid.tokens)
        for key in range(stream.grid.tokens):
            for head in range(shares.shape[1]):
                share = float(shares[0, head, key])
                pool_row[key] += max(0.0, share * slope_of((0, head, key), of_pool=True)) / shares.shape[1]
        # Of the last block's own relevance one column is enough, which every query and head adds to.
        key = stream.grid.prefix_tokens + 1
        column = torch.zeros(stream.grid.tokens)
        for query in range(stream.grid.tokens):
            for head in range(attention.shape[1]):
                weight = float(attention[0, head, query, key])
                column[query] += max(0.0, weight * slope_of((0, head, query, key), of_pool=False)) / attention.shape[1]
        expected = float(pool_row[key] + pool_row @ column)
    assert float(found.flatten()[1]) == pytest.approx(expected, rel=2e-2)


@pytest.mark.parametrize("start", [3, -4])
def test_a_start_that_the_encoder_does_not_have_is_refused(vit: ClipEncoder, start: int) -> None:
    with pytest.raises(UsageError, match=rf"start_layer={start}: small has blocks 0 to 2"):
        Chefer(CheferConfig(start_layer=start)).explain(vit, pixels_for(vit), texts_for(vit))
