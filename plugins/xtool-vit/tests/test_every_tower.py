"""A small tower of every kind: its embeddings are open_clip's own, and the gradient methods leave nothing behind."""

from __future__ import annotations

from typing import Any

import open_clip
import pytest
import torch
from vit_towers import CNNS, FURTHER, TOWERS, make_tower, pixels_for, texts_for

from xtool_vit.clipes import CLIPES
from xtool_vit.config import CheferConfig, CLIPESConfig, GradECLIPConfig, LeGradConfig
from xtool_vit.gradeclip import GradECLIP
from xtool_vit.legrad import LeGrad
from xtool_vit.relevance import Chefer

METHODS = (LeGrad(LeGradConfig()), GradECLIP(GradECLIPConfig()), Chefer(CheferConfig(start_layer=0)),
           CLIPES(CLIPESConfig()))  # fmt: skip


QUICK = ("class token", "SigLIP", "ResNet")
EVERY = [pytest.param(kind, marks=() if kind in QUICK else pytest.mark.slow) for kind in (*TOWERS, *FURTHER, *CNNS)]
TEXTS = ["an image of a dog.", "", "a long sentence about a small bird on a tall tree " * 9]


@pytest.mark.parametrize("kind", EVERY)
def test_images_and_texts_are_embedded_as_open_clip_embeds_them(kind: str) -> None:
    encoder = make_tower(kind, small=True)
    model: Any = encoder.model
    pixels = pixels_for(encoder)
    with torch.no_grad():
        images, texts = model.encode_image(pixels, normalize=True), model.encode_text(open_clip.tokenize(TEXTS), True)
        torch.testing.assert_close(encoder.encode_image(pixels), images, rtol=0, atol=1e-5)
        torch.testing.assert_close(encoder.encode_text(TEXTS), texts, rtol=0, atol=1e-5)
    with torch.inference_mode():  # a faster way through the tower, where there is one
        torch.testing.assert_close(encoder.encode_image(pixels.clone()), images, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", TOWERS)
def test_each_gives_maps_in_any_grad_mode_and_leaves_no_gradient_and_no_hook(kind: str) -> None:
    encoder = make_tower(kind, small=True)
    pixels, text = pixels_for(encoder, 2), texts_for(encoder, 2)
    parts: list[Any] = list(encoder.visual.modules())
    for method in METHODS:
        maps = method.explain(encoder, pixels, text).maps
        assert maps.shape[:2] == (2, 2)
        assert maps.isfinite().all()
        assert not torch.allclose(maps[:, 0], maps[:, 1])
        with torch.inference_mode():
            inside = method.explain(encoder, pixels.clone(), text.clone()).maps
        torch.testing.assert_close(inside.clone(), maps, rtol=1e-3, atol=1e-4 * float(maps.max()))
    assert all(parameter.grad is None for parameter in encoder.visual.parameters())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in parts)
