"""Masks where a tower pools: against transformers' own modules under attention masks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hf_testing import hooks_in, noise, open_model, save_model
from torch import Tensor
from torch.nn import functional as F

from xtool.plugin import UsageError
from xtool_transformers.encoder import TransformersEncoder

Saved = Callable[[str], tuple[Path, Any]]
Opened = Callable[[str], TransformersEncoder]
POOLED = ("clip", "siglip", "blip", "align")

every_pool = pytest.mark.parametrize("kind", POOLED)


def some_masks(count: int = 3, side: int = 4) -> Tensor:
    """Random soft masks [2, count, side, side], of the last layer's size, with true zeros in them."""
    generator = torch.Generator().manual_seed(1)
    return (1.4 * torch.rand(2, count, side, side, generator=generator) - 0.4).clamp(0, 1)


@every_pool
@torch.no_grad()
def test_a_mask_of_ones_leaves_the_embedding_as_it_is_and_no_trace(kind: str, opened: Opened) -> None:
    encoder = opened(kind)
    assert encoder.info.pools_masks
    pixels, hooks = noise(encoder), hooks_in(encoder.model)
    found = encoder.encode_pooled(pixels, torch.ones(2, 2, 5, 7))
    torch.testing.assert_close(found[:, 1], encoder.encode_image(pixels), atol=1e-5, rtol=0)
    assert hooks_in(encoder.model) == hooks


@every_pool
@torch.no_grad()
def test_under_a_mask_of_zeros_nothing_of_the_image_is_left(kind: str, opened: Opened) -> None:
    encoder = opened(kind)
    found = encoder.encode_pooled(noise(encoder), torch.zeros(2, 1, 3, 3))
    torch.testing.assert_close(found[0], found[1], atol=1e-6, rtol=0)
    assert found.isfinite().all()
    if kind == "align":  # its embedding is the mean itself, and a mean of nothing is like no text
        assert not found.any()


@every_pool
@torch.no_grad()
def test_an_embedding_does_not_depend_on_the_other_masks_and_images(kind: str, opened: Opened) -> None:
    encoder = opened(kind)
    pixels, masks = noise(encoder), some_masks()
    alone = encoder.encode_pooled(pixels[1:], masks[1:, 2:])
    torch.testing.assert_close(encoder.encode_pooled(pixels, masks)[1, 2], alone[0, 0], atol=1e-5, rtol=0)


@torch.no_grad()
def test_readers_of_clip_are_more_class_tokens_under_an_attention_mask(saved: Saved, opened: Opened) -> None:
    encoder, model = opened("clip"), saved("clip")[1]
    pixels, masks = noise(encoder), some_masks()
    vision, count = model.vision_model, 3
    tokens = vision.pre_layrnorm(vision.embeddings(pixels[:1]))
    sequence = torch.cat([tokens[:, :1].expand(-1, count, -1), tokens], dim=1)
    # A further class token sees itself and the patches under its mask; the others see all but the further ones.
    bias = torch.full((count + 17, count + 17), -torch.inf)
    bias[:count, :count].fill_diagonal_(0.0)
    bias[:count, count + 1 :] = masks[0].flatten(1).log()
    bias[count:, count:] = 0.0
    for block in vision.encoder.layers:
        sequence = block(sequence, bias[None, None])
    expected = F.normalize(model.visual_projection(vision.post_layernorm(sequence[0, :count])), dim=1)
    torch.testing.assert_close(encoder.encode_pooled(pixels, masks)[0], expected, atol=1e-5, rtol=0)


@torch.no_grad()
def test_a_reader_of_blip_under_a_hard_mask_is_a_class_token_that_sees_those_patches_alone(
    saved: Saved, opened: Opened
) -> None:
    """BLIP's attention takes no mask: a class token beside the patches is told by a second pass of the block."""
    encoder, model = opened("blip"), saved("blip")[1]
    pixels = noise(encoder)
    seen = torch.zeros(4, 4, dtype=torch.bool)
    seen[1:3, 2:] = True
    vision = model.vision_model
    tokens = vision.embeddings(pixels[:1])
    reader = tokens[:, :1]
    for block in vision.encoder.layers:
        beside = torch.cat([reader, tokens[:, 1:][:, seen.flatten()]], dim=1)
        reader, tokens = block(beside)[:, :1], block(tokens)
    expected = F.normalize(model.vision_proj(vision.post_layernorm(reader[:, 0])), dim=1)
    found = encoder.encode_pooled(pixels, seen.float().expand(2, 1, -1, -1))
    torch.testing.assert_close(found[0], expected, atol=1e-5, rtol=0)


@torch.no_grad()
def test_siglips_head_is_asked_under_the_attention_mask_of_pytorch(saved: Saved, opened: Opened) -> None:
    encoder, vision = opened("siglip"), saved("siglip")[1].vision_model
    pixels, masks = noise(encoder), some_masks()
    tokens = vision(pixels).last_hidden_state[:1].expand(3, -1, -1)
    head = vision.head
    bias = masks[0].flatten(1).log()[:, None].repeat_interleave(3, dim=0)  # once for each of its heads
    pooled = head.attention(head.probe.expand(3, -1, -1), tokens, tokens, attn_mask=bias)[0]
    expected = F.normalize((pooled + head.mlp(head.layernorm(pooled)))[:, 0], dim=1)
    torch.testing.assert_close(encoder.encode_pooled(pixels, masks)[0], expected, atol=1e-5, rtol=0)


@torch.no_grad()
def test_aligns_mean_under_masks_is_weighed_by_them(saved: Saved, opened: Opened) -> None:
    encoder, vision = opened("align"), saved("align")[1].vision_model
    pixels, masks = noise(encoder), some_masks(side=8)
    maps = vision(pixels).last_hidden_state
    expected = torch.stack([(maps[0] * mask).sum(dim=(1, 2)) / mask.sum() for mask in masks[0]])
    found = encoder.encode_pooled(pixels, masks)[0]
    torch.testing.assert_close(found, F.normalize(expected, dim=1), atol=1e-5, rtol=0)


def test_a_tower_that_cannot_pool_under_masks_says_so(opened: Opened, tmp_path: Path) -> None:
    grouped = opened("groupvit")
    assert not grouped.info.pools_masks
    with pytest.raises(UsageError, match="pools groups of patches"):
        grouped.encode_pooled(noise(grouped), torch.ones(2, 1, 4, 4))
    save_model("align", tmp_path, vision={"pooling_type": "max"})
    largest = open_model(tmp_path)
    assert not largest.info.pools_masks
    with pytest.raises(UsageError, match="maximum of its last maps"):
        largest.encode_pooled(noise(largest), torch.ones(2, 1, 4, 4))


def test_pixels_of_another_size_are_refused(family: str, opened: Opened) -> None:
    with pytest.raises(ValueError, match="takes pixels"):
        opened(family).encode_image(torch.zeros(1, 3, 16, 16))
    with pytest.raises(ValueError, match="takes pixels"):
        opened(family).encode_pooled(torch.zeros(1, 3, 16, 16), torch.ones(1, 1, 4, 4))
