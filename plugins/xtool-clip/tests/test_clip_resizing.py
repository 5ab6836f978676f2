"""Towers for images of another size, against open_clip's own resizing and what must stay the same."""

from __future__ import annotations

from pathlib import Path

import open_clip
import pytest
import torch
from clip_testing import CPU
from safetensors.torch import save_file

from xtool.plugin import LayerFeatures, UsageError
from xtool_clip import load


@torch.no_grad()
def test_a_resized_vit_is_open_clips_own_at_that_size(tmp_path: Path) -> None:
    """Both read one checkpoint of 224 px; open_clip resizes the positions as it loads, xtool afterwards."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        native = open_clip.create_model("ViT-B-32")
    file = tmp_path / "native.safetensors"
    save_file(native.state_dict(), file)
    theirs = open_clip.create_model("ViT-B-32", pretrained=str(file), force_image_size=288).eval()
    ours = load.load("ViT-B-32", CPU.model_copy(update={"pretrained": str(file), "input_size": 288}))
    assert ours.info.input_size == (288, 288)
    pixels = torch.randn(1, 3, 288, 288, generator=torch.Generator().manual_seed(1))
    expected = torch.nn.functional.normalize(theirs.encode_image(pixels), dim=1)
    torch.testing.assert_close(ours.encode_image(pixels), expected, rtol=0, atol=1e-5)
    assert LayerFeatures().extract(ours, pixels).maps.shape == (1, 768, 9, 9)


@torch.no_grad()
@pytest.mark.parametrize("inference", [False, True])
def test_a_resnets_pool_gets_a_position_for_each_cell_and_keeps_the_means(inference: bool) -> None:
    native = load.load("RN50", CPU)
    ours = load.load("RN50", CPU.model_copy(update={"input_size": 320}))
    before, after = (encoder.visual.attnpool.positional_embedding for encoder in (native, ours))  # type: ignore[union-attr]
    assert after.shape == (1 + 10 * 10, before.shape[1])  # type: ignore[index]
    assert torch.equal(after[0], before[0])  # type: ignore[index]
    corner = torch.nn.functional.interpolate(
        before[1:].T.reshape(1, -1, 7, 7),
        (10, 10),
        mode="bicubic",
        antialias=True,  # type: ignore[index, operator]
    )
    torch.testing.assert_close(after[1:].T.reshape(1, -1, 10, 10), corner)  # type: ignore[index, operator]
    with torch.inference_mode(inference):
        assert ours.encode_image(torch.zeros(1, 3, 320, 320)).shape == (1, 1024)


def test_convolutional_towers_of_timm_take_other_sizes_as_they_are() -> None:
    encoder = load.load("convnext_base", CPU.model_copy(update={"input_size": 288}))
    assert encoder.info.input_size == (288, 288)


@pytest.mark.parametrize(("name", "size", "multiple"), [("RN50", 250, 32), ("ViT-B-16", 230, 16)])
def test_sizes_that_leave_part_of_a_cell_are_refused(name: str, size: int, multiple: int) -> None:
    with pytest.raises(UsageError, match=f"{name} must be a multiple of {multiple} pixels, not {size}"):
        load.load(name, CPU.model_copy(update={"input_size": size}))
