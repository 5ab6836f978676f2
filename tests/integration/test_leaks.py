"""Two hundred images in a loop leave no memory, no hook and no changed flag behind."""

from __future__ import annotations

import gc

import psutil
import pytest
import torch

import xtool
from xtool.engine.methods import build_method, parse_methods
from xtool.engine.work import Kept, account

for plugin in ("xtool_tiny", "xtool_cam", "xtool_vlscore"):
    pytest.importorskip(plugin, reason=f"needs the plugin {plugin.replace('_', '-')}")

METHODS = ["vlscore:top_k=4", "gradcam", "layercam", "eigencam", "center"]


def state(encoder: xtool.contracts.protocols.Encoder) -> list[object]:
    visual = encoder.visual
    return [
        [(parameter.requires_grad, parameter.grad is None, parameter._version) for parameter in visual.parameters()],
        [(len(module._forward_hooks), len(module._forward_pre_hooks)) for module in visual.modules()],
        [(len(module._backward_hooks), module.training) for module in visual.modules()],
    ]


def living_tensors() -> int:
    gc.collect()
    # By type: isinstance asks lazy modules for their class, which wakes them up.
    return sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tiny-rn", "tiny-vit"])
def test_two_hundred_images_leave_nothing_behind(name: str) -> None:
    encoder = xtool.load_encoder(name)
    methods = [
        build_method(request, encoder.info) for request in parse_methods(METHODS if name == "tiny-rn" else METHODS[1:])
    ]
    text = encoder.encode_text(["an image of a dog.", "an image of a cat."])
    before, tensors, memory = state(encoder), 0, 0.0
    generator = torch.Generator().manual_seed(0)
    for i in range(200):
        pixels = torch.randn(1, 3, *encoder.info.input_size, generator=generator)
        with account(Kept()), torch.no_grad():
            for method in methods:
                method.explain(encoder, pixels, text)
        if i == 50:  # caches are warm by now
            tensors = living_tensors()
            memory = psutil.Process().memory_info().rss
    assert state(encoder) == before
    assert living_tensors() <= tensors
    assert psutil.Process().memory_info().rss - memory < 64 * 2**20
