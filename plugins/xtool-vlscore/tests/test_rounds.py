"""Progressive scoring: the same answer as top_k at the size it stops at, and no later than it must."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from xtool.engine.encoders import counted
from xtool.engine.work import Kept, account
from xtool.plugin import EncoderInfo, FeatureMaps, Saliency
from xtool_vlscore.config import VLScoreConfig
from xtool_vlscore.method import VLScore
from xtool_vlscore.rounds import BOX_AT, FIRST

CHANNELS, SIDE = 40, 32


class Tower(torch.nn.Module):
    """Random detectors on cells of 8 pixels, their means, embedded."""

    def __init__(self, channels: int = CHANNELS) -> None:
        super().__init__()
        self.cells = torch.nn.Conv2d(3, channels, 8, stride=8)
        self.proj = torch.nn.Linear(channels, 6)
        generator = torch.Generator().manual_seed(5)
        for parameter in self.parameters():
            parameter.data.normal_(generator=generator)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.proj(self.cells(pixels).relu().mean(dim=(2, 3)))  # type: ignore[no-any-return]


class RandomEncoder:
    """Forty feature maps of 4×4; texts are vectors."""

    device, dtype = torch.device("cpu"), torch.float32

    def __init__(self) -> None:
        self.visual = Tower().eval()
        self.info = EncoderInfo(
            name="random",
            architecture="cnn",
            input_size=(SIDE, SIDE),
            mean=(0.5, 0.5, 0.5),
            std=(0.5, 0.5, 0.5),
            embed_dim=6,
            patch_size=None,
            layers=("cells",),
            default_layer="cells",
            default_features="cells",
            weights="random",
        )

    def encode_image(self, pixels: Tensor) -> Tensor:
        return F.normalize(self.visual(pixels), dim=1)

    def encode_text(self, texts: Any) -> Tensor:
        raise NotImplementedError


class Cells:
    def extract(self, encoder: Any, pixels: Tensor) -> FeatureMaps:
        maps = encoder.visual.cells(pixels).relu()
        return FeatureMaps(maps, F.normalize(encoder.visual.proj(maps.mean(dim=(2, 3))), dim=1))


def images(count: int = 1, seed: int = 0) -> Tensor:
    return torch.randn(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))


def texts(count: int) -> Tensor:
    return F.normalize(torch.randn(count, 6, generator=torch.Generator().manual_seed(9)), dim=1)


def explain(pixels: Tensor, text: Tensor, **options: Any) -> tuple[Saliency, int]:
    """The answer and the passes; the extractor's own pass is not among them."""
    with account(Kept()) as work, torch.no_grad():
        method = VLScore(VLScoreConfig(**options), Cells())
        return method.explain(counted(RandomEncoder()), pixels, text), work.forwards


def box(heat: Tensor) -> tuple[int, int, int, int] | None:
    """Of the largest component above the fraction of the maximum, by scipy's own labelling."""
    full = F.interpolate(heat[None, None], (SIDE, SIDE), mode="bilinear", align_corners=False)[0, 0].numpy()
    labels, count = ndimage.label(full > np.float32(BOX_AT) * full.max())
    if full.max() <= 0 or count == 0:
        return None
    rows, columns = ndimage.find_objects(labels)[int(np.bincount(labels.ravel())[1:].argmax())]
    return columns.start, rows.start, columns.stop, rows.stop


def overlap(a: tuple[int, ...] | None, b: tuple[int, ...] | None) -> float:
    if a is None or b is None:
        return float(a == b)
    cells = [{(x, y) for x in range(box[0], box[2]) for y in range(box[1], box[3])} for box in (a, b)]
    return len(cells[0] & cells[1]) / len(cells[0] | cells[1])


def expected(pixels: Tensor, text: Tensor, stop_at: float) -> tuple[Saliency, int]:
    """From the definition: top_k with k doubling, until two boxes in a row overlap."""
    count, last = FIRST, None
    while True:
        answer, _ = explain(pixels, text, top_k=count)
        found = box(answer.maps[0, 0])
        if (count > FIRST and overlap(last, found) >= stop_at) or count >= CHANNELS:
            return answer, count
        last, count = found, min(2 * count, CHANNELS)


@pytest.mark.parametrize("stop_at", [0.6, 0.8, 1.0])
def test_it_is_top_k_at_the_size_where_two_boxes_overlap(stop_at: float) -> None:
    sizes = set()
    for seed in range(6):
        pixels, text = images(seed=seed), texts(1)
        wanted, count = expected(pixels, text, stop_at)
        found, forwards = explain(pixels, text, stop_at=stop_at)
        assert torch.allclose(found.maps, wanted.maps, atol=1e-6)
        assert torch.equal(found.present, wanted.present)
        assert forwards == count + 1  # and the base image, once
        sizes.add(count)
    assert len(sizes) > 1  # not one size for all, or this test would say little


def test_texts_and_images_together_equal_each_alone() -> None:
    pixels, text = images(3), texts(4)
    together, _ = explain(pixels, text, stop_at=0.8)
    for b in range(3):
        for t in range(4):
            alone, _ = explain(pixels[b : b + 1], text[t : t + 1], stop_at=0.8)
            assert torch.allclose(together.maps[b, t], alone.maps[0, 0], atol=1e-6)
            assert together.present[b, t] == alone.present[0, 0]


def test_a_map_that_two_texts_want_is_embedded_once() -> None:
    text = texts(1)
    _, once = explain(images(), text, stop_at=0.8)
    _, twice = explain(images(), torch.cat([text, text]), stop_at=0.8)
    assert once == twice


def test_images_that_have_settled_cost_nothing_more() -> None:
    text = texts(1)
    alone = [explain(images(6)[i : i + 1], text, stop_at=0.8)[1] for i in range(6)]
    assert len(set(alone)) > 1
    assert explain(images(6), text, stop_at=0.8)[1] == sum(alone)


def test_top_k_is_the_most_that_is_scored() -> None:
    found, forwards = explain(images(), texts(1), stop_at=1.0, top_k=FIRST)
    wanted, same = explain(images(), texts(1), top_k=FIRST)
    assert torch.equal(found.maps, wanted.maps)
    assert forwards == same == FIRST + 1


@pytest.mark.parametrize("options", [{"stop_at": 0.8}, {"top_k": 5}])
def test_gradients_for_ranking_are_had_in_inference_mode_too(options: dict[str, Any]) -> None:
    wanted, _ = explain(images(), texts(1), **options)
    encoder, method = RandomEncoder(), VLScore(VLScoreConfig(**options), Cells())
    with torch.inference_mode():
        found = method.explain(encoder, images(), texts(1))
    assert torch.allclose(found.maps, wanted.maps, atol=1e-6)
