"""The network in plain torch is timm's, weight by weight and value by value."""

from __future__ import annotations

import subprocess
import sys

import pytest
import timm
import torch
from torch import nn

from xtool_timm.lite0 import Lite0


@pytest.fixture(scope="module")
def pair() -> tuple[Lite0, nn.Module]:
    torch.manual_seed(0)
    theirs = timm.create_model("tf_efficientnet_lite0").eval()
    for name, buffer in theirs.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            buffer.uniform_(0.5, 1.5)
    ours = Lite0().eval()
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def test_weights_have_timm_s_names_in_timm_s_order(pair: tuple[Lite0, nn.Module]) -> None:
    ours, theirs = pair
    assert list(ours.state_dict()) == list(theirs.state_dict())


@pytest.mark.parametrize("size", [(224, 224), (97, 130)])
@torch.no_grad()
def test_maps_features_and_logits_are_timm_s(pair: tuple[Lite0, nn.Module], size: tuple[int, int]) -> None:
    ours, theirs = pair
    pixels = torch.randn(2, 3, *size)
    torch.testing.assert_close(ours.forward_features(pixels), theirs.forward_features(pixels), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours(pixels), theirs(pixels), rtol=1e-4, atol=1e-5)


def test_what_is_told_of_it_is_what_timm_tells(pair: tuple[Lite0, nn.Module]) -> None:
    ours, theirs = pair
    assert [stage["module"] for stage in ours.feature_info] == [stage["module"] for stage in theirs.feature_info]
    told = {name: tuple(theirs.pretrained_cfg[name]) for name in ours.pretrained_cfg}
    assert ours.pretrained_cfg == told
    assert (ours.num_features, ours.num_classes) == (theirs.num_features, theirs.num_classes)


def test_it_is_loaded_without_timm_and_torchvision() -> None:
    code = """
import sys
import xtool
xtool.load_encoder("timm-tf_efficientnet_lite0", pretrained=None, device="cpu")
print(sorted({"timm", "torchvision"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
