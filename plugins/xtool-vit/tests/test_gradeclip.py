"""Grad-ECLIP against loops over raw modules."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from raw_towers import grid_of, projected, raw_blocks
from torch import Tensor
from vit_towers import make_tower, pixels_for, texts_for

from xtool_clip.encoder import ClipEncoder
from xtool_vit.config import GradECLIPConfig
from xtool_vit.gradeclip import GradECLIP


def expected_map(encoder: ClipEncoder, pixels: Tensor, text: Tensor, heads: str) -> Tensor:
    """[h, w] by the class token's row alone, from the description."""
    block = raw_blocks(encoder, pixels)[-1]
    with torch.no_grad():
        query, key, value = (torch.cat(list(part), dim=1) for part in block.qkv)
        if heads == "one":
            attended = torch.softmax(query @ key.T / query.shape[1] ** 0.5, dim=1) @ value
        else:
            attended = torch.cat([a @ v for a, v in zip(block.attention(), block.qkv[2], strict=True)], dim=1)
    attended.requires_grad_()
    cosine = projected(encoder.visual, block.after([attended])[0]) @ text
    gradient = torch.autograd.grad(cosine, attended)[0]
    assert not gradient[1:].any()
    alike = torch.tensor([torch.cosine_similarity(query[0], key[i], dim=0) for i in range(1, len(key))])
    alike = (alike - alike.min()) / (alike.max() - alike.min())
    rows = [alike[i - 1] * (gradient[0] * value[i]).sum() for i in range(1, len(value))]
    return torch.stack(rows).clamp(min=0).view(grid_of(encoder))


@pytest.mark.parametrize("heads", ["one", "model"])
@pytest.mark.parametrize("kind", ["class token", "layer scale"])
def test_it_is_the_description_written_as_loops(kind: str, heads: Any) -> None:
    encoder = make_tower(kind)
    pixels, text = pixels_for(encoder, 1), texts_for(encoder, 2)
    found = GradECLIP(GradECLIPConfig(heads=heads)).explain(encoder, pixels, text).maps
    for index in range(2):
        expected = expected_map(encoder, pixels, text[index], heads)
        assert expected.any()
        torch.testing.assert_close(found[0, index], expected, rtol=1e-4, atol=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("heads", ["one", "model"])
def test_it_is_the_same_on_vit_b_16(base: ClipEncoder, heads: Any) -> None:
    pixels, text = pixels_for(base, 1), texts_for(base, 1)
    found = GradECLIP(GradECLIPConfig(heads=heads)).explain(base, pixels, text).maps[0, 0]
    expected = expected_map(base, pixels, text[0], heads)
    assert float((found - expected).abs().max() / expected.max()) < 1e-4


def test_where_tokens_are_averaged_every_token_that_counts_has_its_say() -> None:
    encoder = make_tower("mean")
    visual: Any = encoder.visual
    pixels, text = pixels_for(encoder, 1), texts_for(encoder, 1)
    block = raw_blocks(encoder, pixels)[-1]
    with torch.no_grad():
        query, key, value = (torch.cat(list(part), dim=1) for part in block.qkv)
        attended = torch.softmax(query @ key.T / query.shape[1] ** 0.5, dim=1) @ value
    attended.requires_grad_()
    pooled = visual.ln_post(block.after([attended]))[1:].mean(dim=0) @ visual.proj
    gradient = torch.autograd.grad(pooled @ text[0] / pooled.norm(), attended)[0]
    total = torch.zeros(len(value) - 1)
    for j in range(1, len(query)):
        alike = torch.tensor([torch.cosine_similarity(query[j], key[i], dim=0) for i in range(1, len(key))])
        alike = (alike - alike.min()) / (alike.max() - alike.min())
        total += alike * (value[1:] @ gradient[j])
    found = GradECLIP(GradECLIPConfig()).explain(encoder, pixels, text).maps[0, 0]
    torch.testing.assert_close(found.flatten(), total.clamp(min=0), rtol=1e-4, atol=1e-7)
