"""The decomposition against loops over raw modules, term by term; and the terms add up."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from raw_towers import RawBlock, prefix, raw_blocks, tokens_between
from torch import Tensor, nn
from vit_towers import make_tower, pixels_for, texts_for

from xtool.plugin import read_stream
from xtool_clip.encoder import ClipEncoder
from xtool_vit.config import PrsConfig
from xtool_vit.directions import directions
from xtool_vit.prs import Decomposition, Prs, decompose

WRITTEN_AS_LOOPS = ("class token", "mean", "layer scale", "timm, class token", "timm, mean", "EVA02")
EXACT = {"rtol": 1e-4, "atol": 1e-5}


def through_norm(norm: Any, term: Tensor, whole: Tensor) -> Tensor:
    """w (c − mean(c)) / σ, with σ that of the whole that the term is part of."""
    deviation = (whole.var(dim=-1, unbiased=False, keepdim=True) + norm.eps).sqrt()
    return norm.weight * (term - term.mean(dim=-1, keepdim=True)) / deviation


def expected(encoder: ClipEncoder, pixels: Tensor, text: Tensor) -> Decomposition:
    """The terms for one image, from the paper's description; of a tower that pools by a class token or a mean."""
    visual: Any = encoder.visual
    blocks, states = raw_blocks(encoder, pixels), tokens_between(encoder, pixels)
    if hasattr(visual, "transformer"):
        norm, project = visual.ln_post, lambda pooled: pooled @ visual.proj
        mean = visual.pool_type == "avg"
        embedding = visual(pixels)[0]
    else:
        trunk, outer = visual.trunk, visual.head
        weight, bias = _linear(nn.Sequential(trunk.head, outer), states[-1].shape[-1])
        mean = trunk.global_pool == "avg"
        norm = trunk.fc_norm if isinstance(trunk.norm, nn.Identity) else trunk.norm
        project = lambda pooled: pooled @ weight  # noqa: E731
        embedding = visual(pixels)[0]
    rows = list(range(prefix(encoder), len(states[0]))) if mean else [0]
    norm_last = mean and not hasattr(visual, "transformer") and isinstance(visual.trunk.norm, nn.Identity)

    def reach(terms: Tensor) -> Tensor:
        """Terms [rows, ..., width] in the tokens that are pooled, to products with the texts [..., T]."""
        total = 0
        whole = states[-1][rows].mean(dim=0) if norm_last else None
        for place, row in enumerate(rows):
            total = total + through_norm(norm, terms[place], states[-1][row] if whole is None else whole) / len(rows)
        return project(total) @ text.T / embedding.norm()

    attention, second = [], []
    for block, following in zip(blocks, states[1:], strict=True):
        heads = attention_terms(block, rows)  # [rows, n, H, width]
        attention.append(reach(heads))
        written = heads.sum(dim=(1, 2))
        second.append(reach(torch.stack([following[row] - block.x[row] for row in rows]) - written))
    initial = reach(states[0][rows])
    constant = project(norm.bias) if hasattr(visual, "transformer") else project(norm.bias) + bias
    rest = constant @ text.T / embedding.norm()
    return Decomposition(torch.stack(attention)[None], torch.stack(second)[None], initial[None], rest[None])


def attention_terms(block: RawBlock, rows: list[int]) -> Tensor:
    """[rows, n, H, width]: what each head reads from each token and writes into each row; biases spread evenly."""
    weights, (_, _, values) = block.attention(), block.qkv
    heads, count, width = values.shape
    terms = torch.zeros(len(rows), count, heads, block.out.out_features)
    for place, row in enumerate(rows):
        whole = torch.cat([weights[h, row] @ values[h] for h in range(heads)])
        for h in range(heads):
            read = torch.zeros(count, heads * width)
            read[:, h * width : (h + 1) * width] = weights[h, row][:, None] * values[h]
            if block.inner_norm is not None:
                read = through_norm(block.inner_norm, read, whole)
            terms[place, :, h] = block.scale_1(read @ block.out.weight.T)
        bias = block.out.bias
        if block.inner_norm is not None:
            bias = bias + block.inner_norm.bias @ block.out.weight.T
        terms[place] += block.scale_1(bias) / (count * heads)
    return terms


def _linear(module: nn.Module, width: int) -> tuple[Tensor, Tensor]:
    """Weight [width, D] and bias [D] of an affine module."""
    bias = module(torch.zeros(width))
    return module(torch.eye(width)) - bias, bias


def check(encoder: ClipEncoder) -> None:
    pixels, text = pixels_for(encoder, 1), texts_for(encoder, 2)
    with torch.no_grad():
        found = decompose(read_stream(encoder, pixels), text)
        terms = expected(encoder, pixels, text)
        for part in ("attention", "feed_forward", "initial", "rest"):
            torch.testing.assert_close(getattr(found, part), getattr(terms, part), **EXACT, msg=part)
        torch.testing.assert_close(found.total, encoder.encode_image(pixels) @ text.T, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", WRITTEN_AS_LOOPS)
def test_every_term_is_the_paper_s(kind: str) -> None:
    check(make_tower(kind))


@pytest.mark.slow
def test_every_term_is_the_paper_s_on_vit_b_16(base: ClipEncoder) -> None:
    check(base)


def test_the_terms_add_up_to_the_embedding_on_every_tower(tower: ClipEncoder) -> None:
    pixels, text = pixels_for(tower), texts_for(tower)
    with torch.no_grad():
        total = decompose(read_stream(tower, pixels), text).total
        torch.testing.assert_close(total, tower.encode_image(pixels) @ text.T, rtol=1e-4, atol=1e-4)


def test_the_second_branch_of_a_pool_is_a_term_of_its_own() -> None:
    siglip = make_tower("SigLIP")
    pixels, text = pixels_for(siglip, 1), texts_for(siglip, 2)
    trunk: Any = siglip.visual.trunk  # type: ignore[union-attr]
    pool, seen = trunk.attn_pool, []
    handle = pool.norm.register_forward_pre_hook(lambda _m, args: seen.append(args[0]))
    with torch.no_grad():
        embedding = siglip.visual(pixels)[0]
        handle.remove()
        value_bias = pool.kv(trunk.norm.bias).chunk(2)[1]  # shares sum to 1, so biases pass the pool as they are
        written_by_none = pool.mlp(pool.norm(seen[0]))[0, 0] + pool.proj(value_bias)
        expected = written_by_none @ text.T / embedding.norm()
        found = decompose(read_stream(siglip, pixels), text).rest[0]
    torch.testing.assert_close(found, expected, **EXACT)


def test_in_unit_directions_the_terms_are_vectors(vit: ClipEncoder) -> None:
    pixels, text = pixels_for(vit), texts_for(vit)
    stream = read_stream(vit, pixels)
    vectors, products = (decompose(stream, towards) for towards in (torch.eye(vit.info.embed_dim), text))
    torch.testing.assert_close(vectors.attention @ text.T, products.attention, **EXACT)
    torch.testing.assert_close(vectors.total, stream.embedding, rtol=1e-4, atol=1e-4)


def test_the_map_is_what_all_heads_of_the_last_blocks_read_less_what_every_text_shows(vit: ClipEncoder) -> None:
    pixels, text = pixels_for(vit), texts_for(vit)
    stream = read_stream(vit, pixels)
    config = PrsConfig(blocks=2, common="bank", above_mean=False)
    found = Prs(config).explain(vit, pixels, text).maps
    bank = directions(vit, stream.embedding, text, "keep") - directions(vit, stream.embedding, text, "bank")
    for t in range(len(text)):
        read = decompose(stream, text[t : t + 1] - bank[0, t : t + 1]).attention[:, 1:].sum(dim=(1, 3))
        torch.testing.assert_close(found[:, t].flatten(1), read[:, 1:, 0], rtol=1e-4, atol=1e-6)
