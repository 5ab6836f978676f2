"""Chefer's relevance against loops over open_clip's raw modules, and against finite differences."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import torch
from raw_open_clip import attention_of, grid_of, projected, tokens_between, with_attention
from torch import Tensor
from vit_towers import make_tower, pixels_for, texts_for

from xtool.plugin import UsageError, read_stream
from xtool_clip.encoder import ClipEncoder
from xtool_vit.config import CheferConfig
from xtool_vit.relevance import Chefer


def expected_map(encoder: ClipEncoder, pixels: Tensor, text: Tensor, start: int) -> Tensor:
    """[h, w] of a tower with a class token, from the description: a loop over blocks and heads."""
    visual: Any = encoder.visual
    tokens = tokens_between(encoder, pixels)[start]
    chain = []
    for block in visual.transformer.resblocks[start:]:
        attention = attention_of(block, tokens)
        chain.append(attention)
        tokens = with_attention(block, tokens, attention)
    logit = encoder.info.logit_scale * (projected(visual, tokens[0]) @ text)
    gradients = torch.autograd.grad(logit, [weights for attention in chain for weights in attention])
    relevance, position = torch.eye(len(tokens)), 0
    for attention in chain:
        ours = gradients[position : position + len(attention)]
        position += len(attention)
        mean = sum((g * a.detach()).clamp(min=0) for g, a in zip(ours, attention, strict=True)) / len(attention)
        relevance = relevance + mean @ relevance
    return relevance[0, 1:].view(grid_of(visual))


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
    visual: Any = deepcopy(vit.visual).double()
    block = visual.transformer.resblocks[-1]
    pixels, text = pixels_for(vit, 1), texts_for(vit, 1)[0].double()
    tokens = tokens_between(vit, pixels)[-2].double()
    expected = torch.zeros(len(tokens) - 1, dtype=torch.float64)
    with torch.no_grad():
        attention = attention_of(block, tokens)

        def logit(head: int, key: int, change: float) -> float:
            changed = [weights.clone() for weights in attention]
            changed[head][0, key] += change
            return vit.info.logit_scale * float(projected(visual, with_attention(block, tokens, changed)[0]) @ text)

        for head, weights in enumerate(attention):
            for key in range(1, len(tokens)):
                slope = (logit(head, key, 1e-4) - logit(head, key, -1e-4)) / 2e-4
                expected[key - 1] += max(0.0, slope * float(weights[0, key])) / len(attention)
    found = Chefer(CheferConfig()).explain(vit, pixels, text.float()[None]).maps[0, 0]
    torch.testing.assert_close(found.flatten(), expected.float(), rtol=1e-3, atol=1e-6)


def test_a_mean_over_tokens_takes_the_mean_of_the_rows() -> None:
    encoder = make_tower("mean")
    visual: Any = encoder.visual
    pixels, text = pixels_for(encoder, 1), texts_for(encoder, 1)
    tokens = tokens_between(encoder, pixels)[-2]
    block = visual.transformer.resblocks[-1]
    attention = attention_of(block, tokens)
    pooled = visual.ln_post(with_attention(block, tokens, attention))[1:].mean(dim=0) @ visual.proj
    logit = encoder.info.logit_scale * (pooled @ text[0]) / pooled.norm()
    gradients = torch.autograd.grad(logit, attention)
    mean = sum((g * a.detach()).clamp(min=0) for g, a in zip(gradients, attention, strict=True)) / len(attention)
    expected = (torch.eye(len(tokens)) + mean)[1:].mean(dim=0)[1:]
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
