"""LeGrad against loops over raw modules, and against finite differences."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
import torch
from raw_towers import RawBlock, grid_of, projected, raw_blocks, tokens_between
from torch import Tensor
from torch.nn import functional as F
from vit_towers import make_tower, pixels_for, texts_for

from xtool.plugin import UsageError, read_stream
from xtool_clip.encoder import ClipEncoder
from xtool_vit.config import LeGradConfig
from xtool_vit.legrad import LeGrad


def block_map(visual: Any, block: RawBlock, text: Tensor) -> Tensor:
    """[n] of one block, from the paper's description: a loop over heads."""
    attention = block.attention().detach().requires_grad_()
    score = projected(visual, block.output(attention).mean(dim=0)) @ text
    (gradients,) = torch.autograd.grad(score, attention)
    return sum(gradient.clamp(min=0).mean(dim=0) for gradient in gradients) / len(gradients)  # type: ignore[return-value]


def expected_map(encoder: ClipEncoder, pixels: Tensor, text: Tensor) -> Tensor:
    """[h, w]: the sum over all blocks."""
    maps = [block_map(encoder.visual, block, text) for block in raw_blocks(encoder, pixels)]
    return torch.stack(maps).sum(dim=0)[1:].view(grid_of(encoder))


@pytest.mark.parametrize("kind", ["class token", "layer scale", "mean"])
def test_it_is_the_sum_over_blocks_of_positive_gradients_written_as_loops(kind: str) -> None:
    encoder = make_tower(kind)
    pixels, text = pixels_for(encoder, 1), texts_for(encoder, 2)
    found = LeGrad(LeGradConfig()).explain(encoder, pixels, text).maps
    for index in range(2):
        torch.testing.assert_close(found[0, index], expected_map(encoder, pixels, text[index]), rtol=1e-4, atol=1e-8)


@pytest.mark.slow
def test_it_is_the_same_on_vit_b_16(base: ClipEncoder) -> None:
    pixels, text = pixels_for(base, 1), texts_for(base, 1)
    found = LeGrad(LeGradConfig()).explain(base, pixels, text).maps[0, 0]
    expected = expected_map(base, pixels, text[0])
    assert float((found - expected).abs().max() / expected.max()) < 1e-4


def test_one_attention_entry_has_the_gradient_that_a_finite_difference_has(vit: ClipEncoder) -> None:
    double = deepcopy(vit)
    double.model.double()
    pixels, text = pixels_for(vit, 1), texts_for(vit, 1)[0].double()
    block = raw_blocks(double, pixels.double())[1]
    with torch.no_grad():
        attention = block.attention()

        def score(head: int, query: int, key: int, change: float) -> float:
            changed = attention.clone()
            changed[head, query, key] += change
            return float(projected(double.visual, block.output(changed).mean(dim=0)) @ text)

        heads, size = len(attention), len(block.x)
        differences = torch.tensor(
            [
                [[(score(h, q, k, 1e-4) - score(h, q, k, -1e-4)) / 2e-4 for k in range(1, size)] for q in range(size)]
                for h in range(heads)
            ]
        )
    expected = differences.clamp(min=0).mean(dim=(0, 1)).view(grid_of(vit))
    both = LeGrad(LeGradConfig(layers=2)).explain(vit, pixels, text.float()[None]).maps[0, 0]
    last = LeGrad(LeGradConfig(layers=1)).explain(vit, pixels, text.float()[None]).maps[0, 0]
    torch.testing.assert_close((both - last), expected.float(), rtol=1e-3, atol=1e-7)


def siglip_map(encoder: ClipEncoder, tokens: Tensor, text: Tensor) -> Tensor:
    """[h·w] for the tokens [n, width] after one block: timm's pool from its raw parts, a loop over heads."""
    trunk: Any = encoder.visual.trunk
    pool = trunk.attn_pool
    normed = trunk.norm(tokens)[trunk.num_prefix_tokens :]
    queries = pool.q(pool.latent)[0, 0].split(pool.head_dim)
    keys, values = (part.split(pool.head_dim, dim=1) for part in pool.kv(normed).chunk(2, dim=1))
    shares = [
        torch.softmax(key @ query * pool.scale, dim=0).detach().requires_grad_()
        for query, key in zip(queries, keys, strict=True)
    ]
    answer = pool.proj(torch.cat([share @ value for share, value in zip(shares, values, strict=True)]))
    answer = answer + pool.mlp(pool.norm(answer))
    score = F.normalize(encoder.visual.head(answer), dim=0) @ text
    gradients = torch.autograd.grad(score, shares)
    return torch.stack(gradients).clamp(min=0).mean(dim=0)


def coca_map(encoder: ClipEncoder, tokens: Tensor, text: Tensor) -> Tensor:
    """The same with CoCa's pool, of which the first query's answer counts."""
    visual: Any = encoder.visual
    pool, layer = visual.attn_pool, visual.attn_pool.attn
    width = layer.head_dim
    of_query, of_key, of_value = layer.in_proj_bias.chunk(3)
    known = pool.ln_k(tokens)
    query = layer.q_proj_weight @ pool.ln_q(pool.query)[0] + of_query
    keys, values = known @ layer.k_proj_weight.T + of_key, known @ layer.v_proj_weight.T + of_value
    shares = [
        torch.softmax(key @ one * width**-0.5, dim=0).detach().requires_grad_()
        for one, key in zip(query.split(width), keys.split(width, dim=1), strict=True)
    ]
    answer = torch.cat([share @ value for share, value in zip(shares, values.split(width, dim=1), strict=True)])
    score = projected(visual, answer @ layer.out_proj.weight.T + layer.out_proj.bias) @ text
    gradients = torch.autograd.grad(score, shares)
    return torch.stack(gradients).clamp(min=0).mean(dim=0)


def test_where_siglip_pools_it_is_by_the_pools_attention() -> None:
    encoder = make_tower("SigLIP")
    pixels, text = pixels_for(encoder, 1), texts_for(encoder, 1)
    tokens = tokens_between(encoder, pixels)[1:]
    expected = torch.stack([siglip_map(encoder, after, text[0]) for after in tokens]).sum(dim=0)
    found = LeGrad(LeGradConfig(sinks=None)).explain(encoder, pixels, text).maps[0, 0]
    torch.testing.assert_close(found.flatten(), expected, rtol=1e-4, atol=1e-8)


def test_where_coca_pools_it_is_by_the_first_querys_attention() -> None:
    encoder = make_tower("CoCa")
    pixels, text = pixels_for(encoder, 1), texts_for(encoder, 1)
    tokens = tokens_between(encoder, pixels)[1:]
    expected = torch.stack([coca_map(encoder, after, text[0]) for after in tokens]).sum(dim=0)
    found = LeGrad(LeGradConfig()).explain(encoder, pixels, text).maps[0, 0]
    torch.testing.assert_close(found.flatten(), expected[1:], rtol=1e-4, atol=1e-8)


def test_sinks_are_where_the_empty_text_is_high_and_nothing_else_changes() -> None:
    encoder = make_tower("SigLIP")
    pixels, text = pixels_for(encoder, 1), texts_for(encoder, 2)
    plain = LeGrad(LeGradConfig(sinks=None))
    maps = plain.explain(encoder, pixels, text).maps
    corrected = LeGrad(LeGradConfig(sinks=0.8)).explain(encoder, pixels, text).maps
    nothing = plain.explain(encoder, pixels, encoder.encode_text(["a photo of a"])).maps[0, 0]
    sinks = nothing > nothing.min() + 0.8 * (nothing.max() - nothing.min())
    assert sinks.any()
    assert not corrected[:, :, sinks].any()
    assert torch.equal(corrected[:, :, ~sinks], maps[:, :, ~sinks])


def test_without_a_class_token_a_pool_by_attention_has_its_sinks_taken_out() -> None:
    encoder = make_tower("SigLIP")
    stream = read_stream(encoder, pixels_for(encoder, 1))
    bare = replace(stream.blocks[-1], grid=replace(stream.grid, prefix_tokens=0))
    assert LeGrad(LeGradConfig()).sink_level(replace(stream, blocks=(bare,))) == 0.8
    assert LeGrad(LeGradConfig()).sink_level(stream) is None


def test_towers_with_a_class_token_have_no_sinks_unless_asked(vit: ClipEncoder) -> None:
    pixels, text = pixels_for(vit, 1), texts_for(vit, 1)
    auto, none, asked = (
        LeGrad(LeGradConfig(sinks=sinks)).explain(vit, pixels, text).maps for sinks in ("auto", None, 0.3)
    )
    assert torch.equal(auto, none)
    assert not torch.equal(auto, asked)


def test_more_blocks_than_there_are_are_refused(vit: ClipEncoder) -> None:
    with pytest.raises(UsageError, match="layers=4: small has 3 blocks"):
        LeGrad(LeGradConfig(layers=4)).explain(vit, pixels_for(vit), texts_for(vit))
