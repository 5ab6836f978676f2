"""VL-Score on an encoder whose evidence was planted, and against the definition written out."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from xtool.engine.encoders import counted
from xtool.engine.methods import parse_methods
from xtool.engine.work import Kept, account
from xtool.image.pixels import fit_image, to_pixels
from xtool.plugin import FeatureMaps, LayerFeatures, UsageError
from xtool.testing.planted import PlantedCNN, planted_image
from xtool_vlscore.config import VLScoreConfig
from xtool_vlscore.method import VLScore

RED, GREEN = (8, 16, 24, 32), (40, 32, 56, 48)


def pixels_of(encoder: PlantedCNN) -> Tensor:
    image = planted_image({"red": RED, "green": GREEN})
    return to_pixels(fit_image(image, encoder.info, "squash"), encoder)


def explain(*texts: str, **options: Any) -> Any:
    encoder = PlantedCNN()
    method = VLScore(VLScoreConfig(**options), LayerFeatures())
    return method.explain(encoder, pixels_of(encoder), encoder.encode_text(texts))


def centre_of(heat: Tensor) -> tuple[float, float]:
    """(x, y) of the mass of a map, in fractions of its size."""
    weights = (heat / heat.sum()).numpy()
    rows, columns = np.mgrid[0 : heat.shape[0], 0 : heat.shape[1]]
    return float((weights * (columns + 0.5)).sum() / heat.shape[1]), float(
        (weights * (rows + 0.5)).sum() / heat.shape[0]
    )


def test_each_text_finds_its_own_patch() -> None:
    result = explain("red", "green")
    for heat, (x0, y0, x1, y1) in zip(result.maps[0], (RED, GREEN), strict=True):
        x, y = centre_of(heat)
        assert x0 < 64 * x < x1
        assert y0 < 64 * y < y1


def test_a_colour_that_is_not_there_is_absent_and_its_map_is_empty() -> None:
    result = explain("red", "blue", "zebra")
    assert result.present.tolist() == [[True, False, False]]
    assert result.maps[0, 1:].abs().sum() == 0
    assert result.scores[0, 0] > 0 >= result.scores[0, 1:].max()


def test_eight_texts_equal_eight_calls_for_the_forwards_of_one() -> None:
    texts = ["red", "green", "blue", "a red thing", "zebra", "dog", "an image of green", "cat"]
    encoder, method = PlantedCNN(), VLScore(VLScoreConfig(), LayerFeatures())
    pixels = pixels_of(encoder)
    forwards = []
    with account(Kept()) as work:
        together = method.explain(counted(encoder), pixels, encoder.encode_text(texts))
        forwards.append(work.forwards)
    for i, text in enumerate(texts):
        with account(Kept()) as work:
            alone = method.explain(counted(encoder), pixels, encoder.encode_text([text]))
            forwards.append(work.forwards)
        assert torch.allclose(alone.maps[0, 0], together.maps[0, i], atol=1e-6)
        assert alone.present[0, 0] == together.present[0, i]
    assert set(forwards) == {forwards[0]}


def reference(options: VLScoreConfig, encoder: PlantedCNN, pixels: Tensor, text: Tensor) -> list[list[float]]:
    """VL-Score for one image and one text, from its definition, with loops and plain floats."""
    maps = encoder.visual.layer1(pixels)[0].detach()
    size = tuple(pixels.shape[-2:])
    base = float(encoder.encode_image(torch.zeros_like(pixels))[0] @ text)
    scores = []
    for low in maps:
        full = F.interpolate(low[None, None], size, mode="bilinear", align_corners=options.align_corners)[0, 0]
        mask = (full - full.min()) / (full.max() - full.min() + 1e-7)
        scores.append(float(encoder.encode_image(mask * pixels)[0] @ text))
    live = [i for i, low in enumerate(maps) if float(low.max()) > float(low.min())]
    kept = [i for i in live if scores[i] > base or not options.cap]
    shifted = {i: scores[i] - base if options.shift else scores[i] for i in kept}
    if options.softmax:
        total = sum(math.exp(value / options.temperature) for value in shifted.values())
        weights = {i: math.exp(value / options.temperature) / total for i, value in shifted.items()}
    else:
        weights = {i: value / options.temperature for i, value in shifted.items()}
    means = [0.0] * len(maps)
    if options.contrast and kept:
        share = (len(kept) - 1) / len(kept)
        average = sum(weights.values()) / len(kept)
        weights = {i: weight - share * average for i, weight in weights.items()}
        means = [float(low.mean()) for low in maps]
    _, h, w = maps.shape
    return [
        [max(0.0, sum(weights[i] * (float(maps[i, y, x]) - means[i]) for i in kept)) for x in range(w)]
        for y in range(h)
    ]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"temperature": 1.0},
        {"cap": False},
        {"softmax": False},
        {"softmax": False, "shift": False},
        {"align_corners": False},
        {"contrast": False},
        {"contrast": False, "cap": False, "softmax": False},
    ],
)
@pytest.mark.parametrize("text", ["red", "green", "blue"])
def test_every_option_equals_its_definition(options: dict[str, Any], text: str) -> None:
    config, encoder = VLScoreConfig(**options), PlantedCNN()
    pixels, vector = pixels_of(encoder), encoder.encode_text([text])
    with torch.no_grad():
        expected = torch.tensor(reference(config, encoder, pixels, vector[0]))
    found = VLScore(config, LayerFeatures()).explain(encoder, pixels, vector).maps[0, 0]
    assert torch.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("importance", ["gradient", "contribution"])
def test_top_k_scores_only_the_most_important_map(importance: str) -> None:
    encoder = PlantedCNN()
    pixels, vector = pixels_of(encoder), encoder.encode_text(["red"])
    maps = encoder.visual.layer1(pixels).detach().requires_grad_()
    cosine = F.normalize(encoder.visual.proj(maps.mean(dim=(2, 3))), dim=1) @ vector[0]
    (gradient,) = torch.autograd.grad(cosine.sum(), maps)
    evidence = gradient * maps if importance == "contribution" else gradient
    best = int(evidence.sum(dim=(2, 3))[0].argmax())
    config = VLScoreConfig.model_validate({"top_k": 1, "contrast": False, "importance": importance})
    with account(Kept()) as work:
        found = VLScore(config, LayerFeatures()).explain(counted(encoder), pixels, vector)
    assert work.forwards == 3  # the features, the base and one mask
    assert torch.allclose(found.maps[0, 0], maps[0, best].detach(), atol=1e-6)


def test_maps_that_top_k_left_out_count_as_average_under_contrast() -> None:
    encoder = PlantedCNN()
    pixels, vector = pixels_of(encoder), encoder.encode_text(["red"])
    maps = encoder.visual.layer1(pixels)[0].detach()
    centred = maps - maps.mean(dim=(1, 2), keepdim=True)
    alive = [c for c in range(6) if maps[c].max() > maps[c].min()]
    found = VLScore(VLScoreConfig(top_k=1), LayerFeatures()).explain(encoder, pixels, vector).maps[0, 0]
    k = len(alive)
    expected = [(centred[best] - (k - 1) / k**2 * centred[alive].sum(dim=0)).relu() for best in alive]
    assert any(torch.allclose(found, candidate, atol=1e-6) for candidate in expected)


def test_top_k_with_several_texts_ranks_for_each() -> None:
    together = explain("red", "green", top_k=2)
    for i, text in enumerate(("red", "green")):
        assert torch.allclose(explain(text, top_k=2).maps[0, 0], together.maps[0, i], atol=1e-6)


def test_top_k_of_all_maps_is_the_whole_method() -> None:
    assert torch.allclose(explain("red", top_k=99).maps, explain("red").maps, atol=1e-6)


def test_top_k_on_features_without_gradient_is_refused_in_words() -> None:
    class Detached(LayerFeatures):
        def extract(self, encoder: Any, pixels: Tensor) -> FeatureMaps:
            features = super().extract(encoder, pixels)
            return FeatureMaps(features.maps.detach().requires_grad_(), features.embedding)

    encoder = PlantedCNN()
    with pytest.raises(UsageError, match="leave top_k and stop_at out"):
        VLScore(VLScoreConfig(top_k=2), Detached()).explain(encoder, pixels_of(encoder), encoder.encode_text(["red"]))


def test_a_batch_of_two_equals_two_batches_of_one() -> None:
    encoder, method = PlantedCNN(), VLScore(VLScoreConfig(), LayerFeatures())
    first, text = pixels_of(encoder), encoder.encode_text(["red", "green"])
    second = first.flip(3)
    both = method.explain(encoder, torch.cat([first, second]), text)
    for i, pixels in enumerate((first, second)):
        assert torch.allclose(both.maps[i], method.explain(encoder, pixels, text).maps[0], atol=1e-6)


def test_the_preset_paper_is_the_published_code() -> None:
    (request,) = parse_methods(["vlscore:preset=paper"])
    config = request.config
    assert isinstance(config, VLScoreConfig)
    assert (config.cap, config.shift, config.softmax, config.temperature) == (True, True, True, 1.0)
    assert (config.base, config.align_corners, config.top_k) == ("zero", True, None)
    assert (config.contrast, config.present_above) == (False, "base")


def test_a_calibrated_bar_decides_presence_and_the_articles_rule_stays_at_hand() -> None:
    lowest = explain("red", present_above=-1.0).scores[0, 0] - 1.0  # the best masked cosine itself
    assert explain("red", present_above=float(lowest) - 0.01).present[0, 0]
    assert not explain("red", present_above=float(lowest) + 0.01).present[0, 0]
    assert explain("red", present_above="base").present[0, 0]


class WithDeadMaps(LayerFeatures):
    """The planted features, and after them maps that are the same everywhere."""

    def extract(self, encoder: Any, pixels: Tensor) -> FeatureMaps:
        features = super().extract(encoder, pixels)
        dead = torch.tensor([0.0, 5.0, -1.0])[None, :, None, None].expand(len(pixels), -1, *features.maps.shape[2:])
        maps = torch.cat([features.maps, dead], dim=1)
        embedding = F.normalize(encoder.visual.proj(maps[:, :6].mean(dim=(2, 3))), dim=1)
        # It depends on the dead maps, too, and more than on the others: an order by gradient would begin with them.
        return FeatureMaps(maps, embedding + 10 * (maps[:, 6:] - dead).mean(dim=(1, 2, 3))[:, None])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"cap": False},
        {"softmax": False},
        {"softmax": False, "shift": False, "cap": False},
        {"contrast": False},
        {"top_k": 2},
        {"top_k": 2, "importance": "gradient"},
        {"stop_at": 0.9},
        {"present_above": "base"},
        {"clusters": 2},
        {"base": "mean"},
    ],
)
def test_dead_maps_change_nothing(options: dict[str, Any]) -> None:
    encoder = PlantedCNN()
    pixels, text = pixels_of(encoder), encoder.encode_text(["red", "green", "blue", "zebra"])
    config = VLScoreConfig.model_validate(options)
    without = VLScore(config, LayerFeatures()).explain(encoder, pixels, text)
    beside = VLScore(config, WithDeadMaps()).explain(encoder, pixels, text)
    assert torch.allclose(beside.maps, without.maps, atol=1e-6)
    assert torch.equal(beside.present, without.present)
    assert torch.allclose(beside.scores, without.scores, atol=1e-6)


@pytest.mark.parametrize("present_above", ["auto", "base", -1.0])
def test_where_all_maps_are_dead_the_text_is_absent_and_its_map_zero(present_above: Any) -> None:
    class Dead(LayerFeatures):
        def extract(self, encoder: Any, pixels: Tensor) -> FeatureMaps:
            features = super().extract(encoder, pixels)
            return FeatureMaps(torch.ones_like(features.maps), features.embedding)

    encoder = PlantedCNN()
    method = VLScore(VLScoreConfig(present_above=present_above), Dead())
    found = method.explain(encoder, pixels_of(encoder), encoder.encode_text(["red", "green"]))
    assert not found.present.any()
    assert found.maps.abs().sum() == 0


def test_the_bar_is_the_encoders_calibration_for_this_method() -> None:
    encoder = PlantedCNN()
    pixels, text = pixels_of(encoder), encoder.encode_text(["red"])
    best = VLScore(VLScoreConfig(present_above=-1.0), LayerFeatures()).explain(encoder, pixels, text).scores[0, 0] - 1
    for calibrations, present in (
        ({}, True),
        ({"another": {"present_above": 0.999}}, True),
        ({"vlscore": {"present_above": float(best) - 0.01}}, True),
        ({"vlscore": {"present_above": float(best) + 0.01}}, False),
    ):
        encoder._info = replace(PlantedCNN().info, calibrations=calibrations)
        assert VLScore(VLScoreConfig(), LayerFeatures()).explain(encoder, pixels, text).present.item() is present
