"""RISE against its definition, written out with loops."""

from __future__ import annotations

import torch
from torch.nn import functional as F
from xtool_rise.config import RISEConfig
from xtool_rise.masks import STEPS, draw_masks
from xtool_rise.method import RISE

from xtool.testing import PlantedCNN


def test_the_map_is_the_mean_of_masks_weighed_by_scores() -> None:
    encoder, config = PlantedCNN((32, 48)), RISEConfig(masks=20, grid=3, keep=0.4, centred=False)
    pixels = torch.randn(1, 3, 32, 48, generator=torch.Generator().manual_seed(3))
    text = encoder.encode_text(["red"])
    with torch.no_grad():
        found = RISE(config).explain(encoder, pixels, text).maps[0, 0]
        expected = torch.zeros(13, 13)
        for mask in draw_masks(20, 3, 0.4, config.seed):
            full = F.interpolate(mask[None, None], (32, 48), mode="bilinear", align_corners=True)
            expected += float(encoder.encode_image(pixels * full)[0] @ text[0]) * mask / (20 * 0.4)
    corners = [expected[y : y + 12, x : x + 12] for y in (0, 1) for x in (0, 1)]
    assert torch.allclose(found, sum(corners) / 4, atol=1e-5)


def test_masks_keep_the_asked_for_share_everywhere() -> None:
    masks = draw_masks(4000, 7, 0.3, seed=1)
    assert masks.shape == (4000, 7 * STEPS + 1, 7 * STEPS + 1)
    assert masks.min() >= 0
    assert masks.max() <= 1
    assert (masks.mean(dim=0) - 0.3).abs().max() < 0.04


def test_masks_are_shifted_by_parts_of_a_cell() -> None:
    flat = draw_masks(400, 2, 0.5, seed=0).reshape(400, -1)
    assert len(torch.unique(flat, dim=0)) > 350


def test_another_seed_draws_other_masks() -> None:
    assert not torch.equal(draw_masks(4, 7, 0.5, seed=0), draw_masks(4, 7, 0.5, seed=1))
