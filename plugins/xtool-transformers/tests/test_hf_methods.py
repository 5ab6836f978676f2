"""Every method of the other plugins works on these towers, or is refused in words, and leaves the model as it was."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hf_testing import hooks_in, noise

from xtool.engine.methods import build_method
from xtool.plugin import UsageError, parse_methods, registry
from xtool_transformers.encoder import TransformersEncoder

for needed in ("xtool_cam", "xtool_vit", "xtool_vlscore"):
    pytest.importorskip(needed, reason=f"needs the methods of {needed}")

OWNERS = ("cam", "vit", "vlscore")
BESIDE = ("vlscore:mask_at=pool", "scorecam:mask_at=pool", "gradcam:refine=caa", "gradcam:flip=true")
SLOW = ("m2ib", "pgc")
"""Of a hundred passes, and an adapter that has tests of its own."""
REFUSED = {
    "clip": set(),
    "siglip": set(),
    "blip": set(),
    "align": {"gradcam:refine=caa"},
    "groupvit": {"vlscore:mask_at=pool", "scorecam:mask_at=pool", "gradcam:refine=caa"},
}
"""Beside what a family's architecture, or being no plain transformer, rules out."""


def calls(architecture: str) -> list[str]:
    """Methods for an architecture, by name, and what stands beside."""
    specs = [item.spec for item in registry().saliency_methods if item.owner in OWNERS]
    names = [spec.name for spec in specs if architecture in spec.architectures and spec.name not in SLOW]
    return [*names, *BESIDE]


@pytest.mark.parametrize("kind", REFUSED)
def test_every_method_works_or_is_refused_in_words(kind: str, opened: Callable[[str], TransformersEncoder]) -> None:
    encoder = opened(kind)
    pixels, text = noise(encoder, batch=1), encoder.encode_text(["a dog", "zebra"])
    state = {name: value.clone() for name, value in encoder.model.state_dict().items()}
    hooks, refused = hooks_in(encoder.model), set()
    tried = calls(encoder.info.architecture)
    for call in tried:
        (request,) = parse_methods([call])
        try:
            with torch.no_grad():
                maps = build_method(request, encoder.info).explain(encoder, pixels, text).maps
        except UsageError:
            refused.add(call)
            continue
        assert maps.shape[:2] == (1, 2), call
        assert maps.isfinite().all(), call
    inside = {item.spec.name for item in registry().saliency_methods if item.owner == "vit"}
    assert refused == REFUSED[kind] | ((inside - set(SLOW)) if kind == "groupvit" else set())
    assert len(tried) - len(refused) > 10
    assert hooks_in(encoder.model) == hooks
    after = encoder.model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in state.items())
    assert all(parameter.requires_grad for parameter in encoder.visual.parameters())
