"""Scenes come from their seed alone, and their boxes and masks are exact."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("cv2", reason="composing needs xtool-saliency[wsol]")

from xtool_tiny.backgrounds import background
from xtool_tiny.compose import Recipe, compose
from xtool_tiny.drawings import SIDE, Drawings


@pytest.fixture(scope="module")
def drawings() -> Drawings:
    """Three plain discs and bars in place of emoji drawings."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    disc = ((rows - SIDE / 2) ** 2 + (columns - SIDE / 2) ** 2 < (SIDE / 2) ** 2)[..., None]
    bar = np.ones((SIDE // 3, SIDE, 1), bool)
    return {
        ("a", "red disc"): _paint(disc, (255, 0, 0)),
        ("a", "blue bar"): _paint(bar, (0, 0, 255)),
        ("b", "red disc"): _paint(disc, (200, 30, 30)),
    }


def _paint(shape: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return np.concatenate([shape * np.asarray(colour), shape * 255], axis=2).astype(np.uint8)


def test_one_seed_is_one_scene(drawings: Drawings) -> None:
    first, second = (compose(np.random.default_rng(5), drawings, Recipe()) for _ in range(2))
    other = compose(np.random.default_rng(6), drawings, Recipe())
    assert (first.image == second.image).all()
    assert [placed.box for placed in first.objects] == [placed.box for placed in second.objects]
    assert (first.image != other.image).any()


def test_boxes_are_tight_around_masks_and_masks_do_not_overlap(drawings: Drawings) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        scene = compose(rng, drawings, Recipe(counts=(0.0, 0.0, 0.5, 0.5)))
        assert sum(placed.mask.astype(int) for placed in scene.objects).max() == 1
        for placed in scene.objects:
            x0, y0, x1, y1 = placed.box
            inside = placed.mask[y0:y1, x0:x1]
            assert inside.sum() == placed.mask.sum()
            assert all(edge.any() for edge in (inside[0], inside[-1], inside[:, 0], inside[:, -1]))


def test_masks_lie_on_the_object(drawings: Drawings) -> None:
    only = {key: drawing for key, drawing in drawings.items() if key[1] == "blue bar"}
    recipe = Recipe(counts=(1.0,), jpeg=0.0)
    rng = np.random.default_rng(3)
    gaps = []
    for _ in range(20):
        scene = compose(rng, only, recipe)
        blueness = scene.image[..., 2].astype(float) - scene.image[..., :2].mean(-1)
        gaps.append(blueness[scene.objects[0].mask].mean() - blueness[~scene.objects[0].mask].mean())
    assert np.mean(gaps) > 40


def test_the_first_object_can_be_chosen(drawings: Drawings) -> None:
    rng = np.random.default_rng(1)
    assert all(compose(rng, drawings, Recipe(), first="blue bar").objects[0].thing == "blue bar" for _ in range(10))


def test_objects_are_of_the_recipes_size(drawings: Drawings) -> None:
    rng, recipe = np.random.default_rng(2), Recipe(size=160, counts=(1.0,), sides=(50, 60), angle=0.0)
    for _ in range(10):
        ((x0, y0, x1, y1),) = [placed.box for placed in compose(rng, drawings, recipe).objects]
        assert 50 <= max(x1 - x0, y1 - y0) <= 1.2 * 60 + 1


def test_backgrounds_are_finite_images_of_the_asked_size(drawings: Drawings) -> None:
    rng = np.random.default_rng(4)
    for _ in range(30):
        painted = background(rng, 96, drawings)
        assert painted.shape == (96, 96, 3)
        assert painted.dtype == np.float32
        assert np.isfinite(painted).all()
