"""Refinements of maps, against a plain loop and against what must come out by symmetry."""

from __future__ import annotations

import numpy as np
import torch

from xtool.contracts.protocols import Saliency
from xtool.engine.cost import passes_of
from xtool.engine.methods import build_method, parse_methods
from xtool.engine.refine import Mirrored, PixelAdaptive, pixel_adaptive
from xtool.testing import PlantedCNN, planted_image
from xtool.testing.planted_pool import PlantedPool


def slow_pixel_adaptive(values: np.ndarray, image: np.ndarray, dilations: list[int], iterations: int) -> np.ndarray:
    """The definition, one pixel after the other."""
    height, width = values.shape
    for _ in range(iterations):
        new = np.zeros_like(values)
        for y in range(height):
            for x in range(width):
                places = [
                    (min(max(y + dy, 0), height - 1), min(max(x + dx, 0), width - 1))
                    for d in dilations for dy in (-d, 0, d) for dx in (-d, 0, d) if (dy, dx) != (0, 0)
                ]  # fmt: skip
                around = np.array([image[:, v, u] for v, u in places])
                spread = np.concatenate([around, image[None, :, y, x]]).std(axis=0, ddof=1)
                distance = (np.abs(around - image[:, y, x]) / (1e-8 + 0.1 * spread)).mean(axis=1)
                weight = np.exp(-(distance - distance.min()))
                new[y, x] = (weight / weight.sum() * np.array([values[v, u] for v, u in places])).sum()
        values = new
    return values


def test_pixel_adaptive_refinement_equals_a_plain_loop() -> None:
    rng = np.random.default_rng(0)
    image, values = rng.random((3, 9, 12)), rng.random((9, 12))
    # At 12 pixels of 448 every dilation of the paper rounds to 1.
    expected = slow_pixel_adaptive(values, image, [1], 3)
    found = pixel_adaptive(torch.tensor(values)[None, None], torch.tensor(image)[None], 3)
    np.testing.assert_allclose(found[0, 0].numpy(), expected, atol=1e-9)


def test_refinement_moves_a_blurred_edge_to_the_edge_of_the_picture() -> None:
    image = torch.zeros(1, 3, 40, 40)
    image[..., 20:] = 1
    blurred = torch.linspace(0, 1, 40).expand(1, 1, 40, 40)
    refined = pixel_adaptive(blurred, image)
    step = refined[0, 0, 20, 20] - refined[0, 0, 20, 19]
    assert step > 5 * (blurred[0, 0, 20, 20] - blurred[0, 0, 20, 19])


class Columns:
    """A method whose map says which column of the pixels it sees, so that mirroring can be followed."""

    def explain(self, encoder: object, pixels: torch.Tensor, text: torch.Tensor) -> Saliency:
        maps = pixels.mean(dim=1, keepdim=True).expand(-1, len(text), -1, -1).clone()
        return Saliency(
            maps * torch.arange(1.0, pixels.shape[-1] + 1), present=torch.ones(maps.shape[:2], dtype=torch.bool)
        )


def test_a_mirrored_method_averages_the_map_and_the_mirror_images_map_turned_back() -> None:
    encoder = PlantedCNN()
    pixels, text = torch.ones(1, 3, 4, 6), encoder.encode_text(["a red thing."])
    maps = Mirrored(Columns()).explain(encoder, pixels, text).maps
    assert torch.equal(maps, torch.full((1, 1, 4, 6), 3.5))  # the mean of column k and of column 7 - k


def test_a_refined_map_has_a_cell_for_four_by_four_pixels() -> None:
    encoder = PlantedCNN()
    pixels = torch.rand(2, 3, 64, 48)
    maps = PixelAdaptive(Columns()).explain(encoder, pixels, encoder.encode_text(["red", "green"])).maps
    assert maps.shape == (2, 2, 16, 12)
    assert planted_image({}).size == (64, 64)


def test_every_method_takes_the_two_as_options_and_is_flipped_before_it_is_refined() -> None:
    (request,) = parse_methods(["center:flip=true:refine=pamr"])
    method = build_method(request, PlantedCNN().info)
    assert isinstance(method.method, PixelAdaptive)
    assert isinstance(method.method.method, Mirrored)
    assert request.describe()["config"]["flip"] is True
    assert request.describe()["config"]["refine"] == "pamr"
    (plain,) = parse_methods(["center"])
    assert not isinstance(build_method(plain, PlantedCNN().info).method, PixelAdaptive | Mirrored)


def test_a_flipped_method_is_expected_to_cost_twice_the_passes() -> None:
    encoder = PlantedCNN()
    once, twice = parse_methods(["gradcam", "gradcam:flip=true"])
    counts = [passes_of(request, encoder, torch.zeros(1, 3, 64, 64), texts=1) for request in (once, twice)]
    assert counts == [1, 2]


def test_masks_at_the_pool_are_expected_to_cost_two_passes_whatever_the_maps() -> None:
    pixels = torch.rand(1, 3, 64, 64)
    pool, pixelwise = parse_methods(["scorecam", "scorecam:mask_at=pixels"])
    assert passes_of(pool, PlantedPool(), pixels, texts=5) == 2
    assert passes_of(pixelwise, PlantedPool(), pixels, texts=5) > 2


def test_a_constant_map_stays_exactly_constant() -> None:
    maps = torch.full((1, 3, 12, 10), 0.7312)
    assert torch.equal(pixel_adaptive(maps, torch.rand(1, 3, 12, 10)), maps)
