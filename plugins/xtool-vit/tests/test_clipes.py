"""CLIP-ES against the description on open_clip's modules, and its background words."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from raw_towers import grid_of, tokens_between
from torch import Tensor
from torch.nn import functional as F
from vit_towers import make_tower, pixels_for, texts_for

from xtool.plugin import UsageError
from xtool_clip.encoder import ClipEncoder
from xtool_vit.clipes import CLIPES
from xtool_vit.config import CLIPESConfig

WORDS = ("ground", "sky", "river")
THREE = CLIPESConfig(background="|".join(WORDS))


def expected_map(encoder: ClipEncoder, pixels: Tensor, text: Tensor) -> tuple[Tensor, float]:
    """[h, w], the Grad-CAM of the probability, and that probability; from the description, on raw modules."""
    visual: Any = encoder.visual
    tokens = tokens_between(encoder, pixels)[-2]
    block = visual.transformer.resblocks[-1]
    with torch.no_grad():
        normed = block.ln_1(tokens)
    normed.requires_grad_()
    attended = block.attn(normed[None], normed[None], normed[None], need_weights=False)[0][0]
    between = tokens + block.ls_1(attended)
    output = between + block.ls_2(block.mlp(block.ln_2(between)))
    embedding = F.normalize((visual.ln_post(output) @ visual.proj)[1:].mean(dim=0), dim=0)
    background = encoder.encode_text([f"a clean origami {word}." for word in WORDS])
    logits = encoder.info.logit_scale * torch.stack([embedding @ text, *(embedding @ word for word in background)])
    probability = (logits - logits.max()).exp()[0] / (logits - logits.max()).exp().sum()
    gradient = torch.autograd.grad(probability, normed)[0]
    weights = gradient[1:].mean(dim=0)
    return (normed.detach()[1:] @ weights).clamp(min=0).view(grid_of(encoder)), float(probability.detach())


@pytest.mark.parametrize("kind", ["class token", "layer scale"])
def test_it_is_the_grad_cam_of_the_probability_but_for_a_factor(kind: str) -> None:
    encoder = make_tower(kind)
    pixels, text = pixels_for(encoder, 1), texts_for(encoder, 3)
    found = CLIPES(THREE).explain(encoder, pixels, text).maps
    for index in range(3):
        expected, probability = expected_map(encoder, pixels, text[index])
        torch.testing.assert_close(found[0, index] * probability, expected, rtol=1e-3, atol=1e-7)


@pytest.mark.slow
def test_it_is_the_same_on_vit_b_16(base: ClipEncoder) -> None:
    pixels, text = pixels_for(base, 1), texts_for(base, 1)
    found = CLIPES(THREE).explain(base, pixels, text).maps[0, 0]
    expected, probability = expected_map(base, pixels, text[0])
    assert float((found * probability - expected).abs().max() / expected.max()) < 1e-4


def test_a_background_word_that_means_the_text_is_left_out(vit: ClipEncoder) -> None:
    pixels = pixels_for(vit, 1)
    sky = vit.encode_text(["an image of a sky."])
    with_sky = CLIPES(CLIPESConfig(background="sky|river", same_above=0.9999)).explain(vit, pixels, sky).maps
    without = CLIPES(CLIPESConfig(background="river", same_above=0.9999)).explain(vit, pixels, sky).maps
    torch.testing.assert_close(with_sky, without)


def test_a_text_that_every_word_means_is_explained_without_a_background(vit: ClipEncoder) -> None:
    pixels = pixels_for(vit, 1)
    sky = vit.encode_text(["a clean origami sky."])
    maps = CLIPES(CLIPESConfig(background="sky")).explain(vit, pixels, sky).maps
    assert maps.isfinite().all()
    assert maps.any()


def test_a_background_without_a_word_is_refused(vit: ClipEncoder) -> None:
    with pytest.raises(UsageError, match="option background: give one word at least"):
        CLIPES(CLIPESConfig(background=" | ")).explain(vit, pixels_for(vit), texts_for(vit))
