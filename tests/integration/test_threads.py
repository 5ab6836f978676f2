"""One encoder in eight threads gives the maps that it gives in one.

Extractors and gradient methods hook the modules of an image tower, and a hook sees the passes of every thread.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

import xtool
from xtool.testing import PlantedCNN, planted_image

for plugin in ("xtool_clip", "xtool_tiny", "xtool_cam", "xtool_vlscore"):
    pytest.importorskip(plugin, reason=f"needs the plugin {plugin.replace('_', '-')}")

THREADS = 8


def pictures(count: int) -> list[Image.Image]:
    colours = ("red", "green", "blue")
    return [planted_image({colours[i % 3]: (8 * (i % 5), 8, 8 * (i % 5) + 24, 40)}) for i in range(count)]


def assert_threads_agree(encoder: object, methods: list[str], images: list[Image.Image]) -> None:
    def maps(image: Image.Image) -> list[np.ndarray]:
        found = xtool.explain(image, ["red", "green"], encoder=encoder, methods=methods)  # type: ignore[arg-type]
        return [explanation.maps for explanation in found]

    one_by_one = [maps(image) for image in images]
    with ThreadPoolExecutor(THREADS) as pool:
        at_once = list(pool.map(maps, images))
    for expected, found in zip(one_by_one, at_once, strict=True):
        for method, (one, other) in zip(methods, zip(expected, found, strict=True), strict=True):
            assert np.abs(one - other).max() <= 1e-5, method


@pytest.mark.parametrize("method", ["eigencam:features=keys", "vlscore:features=attention", "eigencam:features=values"])
def test_features_inside_the_attention(method: str) -> None:
    assert_threads_agree(xtool.load_encoder("tiny-vit", device="cpu"), [method], pictures(24))


@pytest.mark.parametrize("name", ["tiny-rn", "tiny-vit"])
def test_methods_that_hook_layers(name: str) -> None:
    methods = ["gradcam", "layercam", "eigencam"]
    assert_threads_agree(xtool.load_encoder(name, device="cpu"), methods, pictures(24))


@pytest.mark.parametrize("score", ["cosine", "dot"])
def test_an_encoder_that_the_user_made_and_hands_to_every_thread(score: str) -> None:
    """Each call wraps it for itself; they must wait for each other all the same."""
    tiny = xtool.load_encoder("tiny-rn", device="cpu")._encoder
    assert_threads_agree(tiny, [f"gradcam:score={score}"], pictures(24))


def test_a_planted_encoder_and_its_own_features() -> None:
    assert_threads_agree(PlantedCNN(), ["gradcam:layer=layer1"], pictures(24))
