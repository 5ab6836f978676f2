"""The gradient methods on a small tower of every kind: a map for each image and text, and nothing left behind."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from vit_towers import TOWERS, make_tower, pixels_for, texts_for

from xtool_vit.clipes import CLIPES
from xtool_vit.config import CheferConfig, CLIPESConfig, GradECLIPConfig, LeGradConfig
from xtool_vit.gradeclip import GradECLIP
from xtool_vit.legrad import LeGrad
from xtool_vit.relevance import Chefer

METHODS = (LeGrad(LeGradConfig()), GradECLIP(GradECLIPConfig()), Chefer(CheferConfig(start_layer=0)),
           CLIPES(CLIPESConfig()))  # fmt: skip


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
