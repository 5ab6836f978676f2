"""VL-Score on an encoder whose evidence was planted, and against the definition written out."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from xtool.engine.encoders import counted
from xtool.engine.methods import parse_methods
from xtool.engine.sources import FeaturesFrom
from xtool.engine.work import Kept, account
from xtool.image.pixels import fit_image, to_pixels
from xtool.plugin import FeatureMaps, LayerFeatures, UsageError
from xtool.testing.planted import PlantedCNN, planted_image
from xtool.testing.planted_pool import PlantedPool
from xtool.testing.planted_vit import PlantedViT
from xtool_vlscore import contrast
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
    result = explain("red", "blue", "zebra", present_above="base")
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
    whole = float(encoder.encode_image(pixels)[0] @ text)
    return loops(maps.numpy(), weights, [scores[i] for i in kept], base, whole, options.contrast)


def loops(
    maps: NDArray[Any], weights: dict[int, float], scores: list[float], base: float, whole: float, contrast: bool | str
) -> list[list[float]]:
    """The contrasted sum of maps [C, h, w], from the formula, with loops. Not for maps that all are left out."""
    kept, (_, height, width) = list(weights), maps.shape
    means = [float(low.mean()) for low in maps]

    def signed(strength: float) -> NDArray[Any]:
        count, total = len(kept), sum(weights.values())
        heat = np.zeros((height, width))
        for i in kept:
            weight = weights[i] - strength * total / count * (count - 1) / count
            for y in range(height):
                for x in range(width):
                    heat[y, x] += weight * (float(maps[i, y, x]) - strength * means[i])
        return heat

    if not kept:
        return np.zeros((height, width)).tolist()  # type: ignore[no-any-return]
    strength = float(contrast) if contrast != "auto" else 1.0
    if contrast == "auto":
        ratio = min(max((whole - base) / (max(scores) - base), 0.0), 1.0) if max(scores) > base else 1.0
        ones, others = signed(1.0).ravel(), np.asarray(maps, float).sum(axis=0).ravel()
        correlation = float(np.corrcoef(ones, others)[0, 1]) if ones.std() and others.std() else 0.0
        strength = min(max(1 - ratio, -2 * correlation, 0.0), 1.0)
    return np.maximum(signed(strength), 0.0).tolist()  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"temperature": 1.0},
        {"cap": False},
        {"softmax": False},
        {"softmax": False, "shift": False},
        {"align_corners": False},
        {"contrast": True},
        {"contrast": False},
        {"cap": False, "softmax": False},
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
    found = VLScore(VLScoreConfig(top_k=1, contrast=True), LayerFeatures()).explain(encoder, pixels, vector).maps[0, 0]
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
    assert (config.contrast, config.present_above, config.mask_at) == (False, "base", "pixels")


def test_the_preset_gscorecam_is_score_cam_by_the_maps_with_the_largest_mean_gradient() -> None:
    (request,) = parse_methods(["vlscore:preset=gscorecam"])
    assert request.config.model_dump(mode="json")["top_k"] == 300
    encoder = PlantedCNN()
    pixels = pixels_of(encoder)
    text = F.normalize(torch.tensor([[2.0, 1.0]]) @ encoder.encode_text(["red", "green"]), dim=1)
    config = VLScoreConfig(**{**VLScoreConfig.presets["gscorecam"], "top_k": 4})  # two maps of each colour
    found = VLScore(config, LayerFeatures()).explain(encoder, pixels, text).maps[0, 0]
    maps = encoder.visual.layer1(pixels).detach().requires_grad_()  # type: ignore[operator]
    cosine = F.normalize(encoder.visual.proj(maps.mean(dim=(2, 3))), dim=1) @ text[0]  # type: ignore[operator]
    gradients = torch.autograd.grad(cosine.sum(), maps)[0].mean(dim=(2, 3))[0]
    chosen = sorted(range(6), key=lambda c: float(gradients[c]), reverse=True)[:4]
    scores, kept = [], maps.detach()[0, chosen]
    for one in kept:
        mask = F.interpolate(one[None, None], pixels.shape[-2:], mode="bilinear", align_corners=True)
        mask = (mask - mask.min()) / (mask.max() - mask.min())
        scores.append(encoder.encode_image(pixels * mask)[0].detach() @ text[0])
    expected = (torch.stack(scores).softmax(dim=0)[:, None, None] * kept).sum(dim=0).clamp(min=0)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_a_bar_decides_presence_and_the_articles_rule_stays_at_hand() -> None:
    best = float(explain("red").scores[0, 0])
    assert explain("red", present_above=best - 0.01).present[0, 0]
    assert not explain("red", present_above=best + 0.01).present[0, 0]
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


def test_the_evidence_is_the_best_masked_cosine_and_under_the_articles_rule_what_it_adds_to_the_base() -> None:
    encoder = PlantedCNN()
    pixels, text = pixels_of(encoder), encoder.encode_text(["red"])
    maps = encoder.visual.layer1(pixels)[0].detach()
    masks = F.interpolate(maps[None], pixels.shape[-2:], mode="bilinear", align_corners=True)[0]
    cosines = [
        float((encoder.encode_image(pixels * (mask - mask.min()) / (mask.max() - mask.min())) @ text.T).detach())
        for mask in masks
        if mask.max() > mask.min()
    ]
    base = float((encoder.encode_image(torch.zeros_like(pixels)) @ text.T).detach())
    assert float(explain("red").scores) == pytest.approx(max(cosines), abs=1e-5)
    assert float(explain("red", present_above="base").scores) == pytest.approx(max(cosines) - base, abs=1e-5)


def random_case(seed: int, channels: int = 12, kept: int = 7) -> tuple[Tensor, Tensor, Tensor, float]:
    """Maps [1, C, h, w], of which one is dead, weights [1, 1, C], those kept, and a share of the best score."""
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randn(1, channels, 4, 5, generator=generator)
    maps[0, 3] = 2.0
    alive = [i for i in torch.randperm(channels, generator=generator).tolist() if i != 3][:kept]
    average = torch.zeros(1, 1, channels, dtype=torch.bool)
    average[0, 0, alive] = True
    weights = torch.rand(1, 1, channels, generator=generator) * average
    return maps, weights, average, float(torch.rand((), generator=generator) * 1.4 - 0.2)


def test_auto_contrast_equals_its_formula() -> None:
    """Over random scores all three cases occur: the ratio decides, the correlation decides, and either is clipped."""
    strengths = []
    for seed in range(30):
        maps, weights, average, whole = random_case(seed)
        best = torch.ones(1, 1)
        strength = contrast.contrast_strength(torch.full((1, 1), whole), best, weights, average, maps)
        found = contrast.contrasted_map(weights, average, maps, strength).relu()[0, 0]
        by_index = {i: float(weights[0, 0, i]) for i in average[0, 0].nonzero().squeeze(1).tolist()}
        expected = loops(maps[0].numpy(), by_index, [1.0], 0.0, whole, "auto")
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)
        strengths.append(float(strength))
    assert {0.0, 1.0} < set(strengths)
    assert any(0.0 < strength < 1.0 for strength in strengths)


def test_contrast_is_full_where_what_is_special_lies_away_from_what_all_maps_show() -> None:
    """Two maps of one place and one of another: for a text that wants the other alone, ρ is negative."""
    maps = torch.zeros(1, 3, 1, 4)
    maps[0, :2, 0, 0] = 1.0
    maps[0, 2, 0, 3] = 1.0
    weights, average = torch.tensor([[[0.0, 0.0, 1.0]]]), torch.ones(1, 1, 3, dtype=torch.bool)
    whole_explains_all = torch.ones(1, 1)
    # By hand: w − (2/3)·(1/3) = (−2/9, −2/9, 7/9), so the special map is (−4/9, 0, 0, 7/9) up to a constant, the common
    # one (2, 0, 0, 1); their correlation is −2/9 · … < 0 by Σxy − ΣxΣy/4 = −8/9 + 7/9 − 3·(3/9)/4 = −13/36.
    x, y = np.array([-4 / 9, 0, 0, 7 / 9]), np.array([2.0, 0, 0, 1])
    rho = (-13 / 36) / (np.sqrt((x**2).sum() - x.sum() ** 2 / 4) * np.sqrt((y**2).sum() - y.sum() ** 2 / 4))
    strength = contrast.contrast_strength(whole_explains_all, torch.ones(1, 1), weights, average, maps)
    assert float(strength) == pytest.approx(min(-2 * rho, 1.0), abs=1e-6)


def test_auto_contrast_of_eight_texts_equals_eight_calls() -> None:
    together = explain("red", "green", "blue", "zebra", cap=False)
    for i, text in enumerate(("red", "green", "blue", "zebra")):
        assert torch.allclose(explain(text, cap=False).maps[0, 0], together.maps[0, i], atol=1e-6)


def test_at_the_pool_maps_weigh_the_mean_of_the_last_maps() -> None:
    """Against the definition in loops: the embedding of a weighted mean, instead of that of a masked image."""
    encoder = PlantedPool()
    pixels, vector = pixels_of(encoder), encoder.encode_text(["red"])
    with torch.no_grad():
        maps = encoder.visual.layer1(pixels)[0]

        def cosine(features: Tensor) -> float:
            return float(F.normalize(encoder.visual.proj(features), dim=0) @ vector[0])

        base, scores = cosine(torch.zeros(len(maps))), {}
        for i, low in enumerate(maps):
            mask = (low - low.min()) / (low.max() - low.min() + 1e-7)
            if float(mask.sum()) > 0:
                scores[i] = cosine(torch.stack([(mask * other).sum() / mask.sum() for other in maps]))
        kept = {i: score for i, score in scores.items() if score > base}
        total = sum(math.exp((score - base) / 0.05) for score in kept.values())
        weights = {i: math.exp((score - base) / 0.05) / total for i, score in kept.items()}
        whole = float(encoder.encode_image(pixels)[0] @ vector[0])
    expected = loops(maps.numpy(), weights, list(kept.values()), base, whole, "auto")
    with account(Kept()) as work:
        found = VLScore(VLScoreConfig(), LayerFeatures()).explain(counted(encoder), pixels, vector)
    assert work.forwards == 2  # the image, and all masks with the base
    np.testing.assert_allclose(found.maps[0, 0].numpy(), expected, atol=1e-5)
    assert float(found.scores[0, 0]) == pytest.approx(max(kept.values()), abs=1e-6)


def test_auto_masks_the_pixels_of_encoders_that_cannot_pool_masks_and_pool_is_refused_for_them() -> None:
    auto, pixels = explain("red", mask_at="auto"), explain("red", mask_at="pixels")
    assert torch.equal(auto.maps, pixels.maps)
    with pytest.raises(UsageError, match="planted-cnn cannot pool under a mask"):
        explain("red", mask_at="pool")


def test_the_preset_fast_pools_before_every_encoder_that_can_and_scores_50_maps_before_others() -> None:
    able = replace(PlantedPool().info, default_mask_at="pixels")
    (request,) = parse_methods(["vlscore:preset=fast"])
    for info, expected in ((able, ("pool", None)), (replace(able, pools_masks=False), ("pixels", 50))):
        config = request.config.resolved(info)
        assert isinstance(config, VLScoreConfig)
        assert (config.mask_at, config.top_k) == expected
    assert VLScoreConfig().resolved(able).mask_at == "pixels"
    assert VLScoreConfig().resolved(PlantedPool().info).mask_at == "pool"


def test_ways_to_fewer_passes_say_nothing_at_the_pool() -> None:
    info = PlantedPool().info
    config = VLScoreConfig(top_k=2, stop_at=0.5)
    assert (config.resolved(info).top_k, config.resolved(info).stop_at) == (None, None)
    assert config.model_copy(update={"mask_at": "pixels"}).resolved(info).top_k == 2


def test_maps_that_another_encoder_proposes_are_judged_by_this_one() -> None:
    judge = PlantedViT()
    image = planted_image({"red": (48, 8, 72, 24), "green": (8, 24, 24, 48)}, size=(80, 48))
    pixels = to_pixels(fit_image(image, judge.info, "squash"), judge)
    method = VLScore(VLScoreConfig(mask_at="pixels"), FeaturesFrom(PlantedCNN(), LayerFeatures()))
    result = method.explain(judge, pixels, judge.encode_text(("red", "green")))
    assert result.maps.shape[2:] == (8, 8)  # the proposer's grid, not the judge's 6 rows of 10 patches
    for heat, (x0, y0, x1, y1) in zip(result.maps[0], ((48, 8, 72, 24), (8, 24, 24, 48)), strict=True):
        x, y = centre_of(heat)
        assert x0 < 80 * x < x1
        assert y0 < 48 * y < y1


@pytest.mark.parametrize("options", [{"top_k": 5}, {"stop_at": 0.9}])
def test_maps_of_another_encoder_have_no_gradient_to_rank_them_by(options: dict[str, Any]) -> None:
    config = VLScoreConfig(features_from="photo", **options)
    with pytest.raises(UsageError, match=r"features_from=photo\); use pca or clusters"):
        config.resolved(PlantedCNN().info)
    assert config.model_copy(update={"mask_at": "pool"}).resolved(PlantedPool().info).features_from == "photo"
