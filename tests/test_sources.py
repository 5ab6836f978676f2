"""Two encoders in one question: one proposes feature maps, the other judges."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from xtool.contracts.protocols import EncoderInfo
from xtool.engine.cost import passes_of
from xtool.engine.encoders import counted
from xtool.engine.features import SharedExtractor
from xtool.engine.layers import LayerFeatures
from xtool.engine.methods import build_method, parse_methods, resolve_options
from xtool.engine.sources import FeaturesFrom, load_source
from xtool.engine.work import Kept, account
from xtool.errors import UsageError
from xtool.explainer import Explainer, explain
from xtool.image.pixels import fit_image, refitted, to_pixels
from xtool.testing.planted import PlantedCNN, planted_image
from xtool.testing.planted_vit import PlantedViT

COMPARE = ("compare", "--encoder", "planted-cnn", "--dataset", "patches", "--limit", "2", "--methods")


def info(**changed: Any) -> EncoderInfo:
    return replace(PlantedCNN().info, **changed)


def test_the_other_encoder_gets_the_same_picture_at_its_own_size_and_colours() -> None:
    wide = info(input_size=(40, 72), mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))
    tall = info(input_size=(96, 32), mean=(0.1, 0.6, 0.2), std=(0.5, 0.25, 0.125))
    noise = np.random.default_rng(0).integers(0, 256, (9, 13, 3), np.uint8)
    seen = fit_image(Image.fromarray(noise).resize((130, 90), Image.Resampling.BICUBIC), wide, "squash")
    pixels = to_pixels(seen, with_info(wide))
    found = refitted(pixels, wide, tall)
    # Pillow, which resizes 8-bit colours, is the oracle; it rounds and cuts after each of two directions.
    resized = np.asarray(Image.fromarray(seen.colours).resize((32, 96), Image.Resampling.BICUBIC), np.float32) / 255
    expected = (resized - np.float32(tall.mean)) / np.float32(tall.std)
    difference = np.abs(found[0].permute(1, 2, 0).numpy() - expected) * np.float32(tall.std) * 255
    assert difference.max() < 2


def with_info(of: EncoderInfo) -> PlantedCNN:
    encoder = PlantedCNN()
    encoder._info = of
    return encoder


def test_colours_alone_are_changed_where_the_size_is_the_same_and_nothing_where_all_is() -> None:
    pixels = torch.rand(2, 3, 64, 64)
    assert refitted(pixels, info(), info(name="other")) is pixels
    found = refitted(pixels, info(), info(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)))
    assert torch.allclose(found, pixels / 2 + 0.5, atol=1e-6)


def test_maps_are_the_proposer_s_and_the_embedding_is_the_judge_s() -> None:
    judge, source = PlantedViT(), PlantedCNN()
    image = planted_image({"red": (48, 8, 72, 24)}, size=(80, 48))
    pixels = to_pixels(fit_image(image, judge.info, "squash"), judge)
    with torch.no_grad():
        found = FeaturesFrom(source, LayerFeatures()).extract(judge, pixels)
        assert torch.equal(found.embedding, judge.encode_image(pixels))
    red = found.maps[0, 0]
    row, column = divmod(int(red.argmax()), red.shape[1])
    x, y = (column + 0.5) / red.shape[1] * 80, (row + 0.5) / red.shape[0] * 48
    assert red.shape == (8, 8)
    assert 48 < x < 72
    assert 8 < y < 24


def test_no_gradient_leads_from_the_embedding_to_maps_of_another_encoder() -> None:
    pixels = torch.rand(1, 3, 64, 64, requires_grad=True)
    found = FeaturesFrom(PlantedCNN(seed=1), LayerFeatures()).extract(PlantedCNN(), pixels)
    assert found.embedding.requires_grad
    assert not found.maps.requires_grad


def test_each_tower_s_pass_is_counted_and_shared_passes_are_charged() -> None:
    judge, source, pixels = counted(PlantedCNN()), counted(PlantedCNN(seed=1)), torch.rand(3, 3, 64, 64)
    extractor = FeaturesFrom(source, SharedExtractor(LayerFeatures(), ("planted", "layer1")))
    with account(Kept()) as work, torch.no_grad():
        first = extractor.extract(judge, pixels)
        assert work.forwards == 6
        second = extractor.extract(judge, pixels)
        assert second.embedding is first.embedding
        assert second.maps is first.maps
        assert work.forwards == 12


@pytest.fixture
def planted(xtool: Any) -> Any:
    """With the test plugin's encoder, extractor and method."""
    load_source.cache_clear()
    yield xtool
    load_source.cache_clear()


def test_an_encoder_that_proposes_to_itself_changes_nothing_but_the_passes(planted: Any) -> None:
    image = planted_image({"red": (8, 16, 24, 32), "green": (40, 32, 56, 48)})
    alone, other = explain(image, ["red", "blue"], methods=["colourcam", "colourcam:features_from=planted-cnn"],
                           encoder="planted-cnn")  # fmt: skip
    assert np.array_equal(alone.maps, other.maps)
    assert (alone.forwards, other.forwards) == (1, 2)


def test_a_loaded_encoder_can_be_handed_over_and_a_row_s_own_option_wins(planted: Any) -> None:
    image, source = planted_image({"red": (8, 16, 24, 32)}), PlantedCNN(seed=3)
    handed, own = explain(image, "red", methods=["colourcam", "colourcam:features_from=planted-cnn"],
                          encoder=PlantedCNN(), features_from=source)  # fmt: skip
    pixels = to_pixels(fit_image(image, source.info, "squash"), source)
    with torch.no_grad():
        maps = source.visual.layer1(pixels)
        weights = PlantedCNN().encode_text(["red"]) @ PlantedCNN().visual.proj.weight
    expected = torch.einsum("tc,bchw->bthw", weights, maps).relu()
    assert float(handed.scores[0]) == pytest.approx(float(expected.max()), rel=1e-5)
    assert not np.allclose(handed.maps, own.maps)


def test_passes_to_expect_include_the_other_tower_s(planted: Any) -> None:
    encoder = PlantedCNN()
    plain, other, mirrored = parse_methods(
        ["colourcam", "colourcam:features_from=planted-cnn", "colourcam:features_from=planted-cnn:flip=true"]
    )
    pixels = torch.rand(1, 3, 64, 64)
    assert [passes_of(each, encoder, pixels, 1) for each in (plain, other, mirrored)] == [1, 2, 4]
    explained = Explainer(planted_image({}), encoder).explain("red", [plain, other, mirrored])
    assert [each.forwards for each in explained] == [1, 2, 4]


def test_the_other_encoder_s_defaults_stand_in_the_options_by_name(planted: Any) -> None:
    (request,) = parse_methods(["colourcam:features_from=planted-cnn"])
    resolved = resolve_options(request, PlantedViT().info)
    assert (resolved.config.features, resolved.config.layer) == ("planted", "layer1")
    assert resolved.source is not None
    assert build_method(resolved, PlantedViT().info) is not None


def test_rows_of_one_run_can_differ_in_who_proposes_and_the_manifest_says_with_which_weights(
    planted: Any, tmp_path: Path
) -> None:
    done = planted(*COMPARE, "colourcam,colourcam:features_from=planted-cnn@none", "--out", "run")
    assert done.returncode == 0, done.stderr
    identity = json.loads((tmp_path / "run" / "manifest.json").read_text())["identity"]
    assert identity["features_from"].keys() == {"planted-cnn@none"}
    other = identity["features_from"]["planted-cnn@none"]
    assert (other["name"], other["weights"], other["trained"]) == ("planted-cnn", "random (seed 0)", False)
    assert [method["config"]["features_from"] for method in identity["methods"]] == [None, "planted-cnn@none"]


def test_a_run_is_not_resumed_when_the_proposer_has_other_weights(
    planted: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = (*COMPARE, "colourcam", "--features-from", "planted-cnn", "--out", "run", "--resume")
    assert planted(*run).returncode == 0
    assert planted(*run).returncode == 0
    load_source.cache_clear()
    monkeypatch.setattr(
        "xtool.engine.sources.load_encoder",
        lambda *_, **__: counted(with_info(info(weights_sha256="0" * 64))),
    )
    refused = planted(*run)
    assert refused.returncode == 1
    assert "features_from.planted-cnn.sha256: None in the run" in refused.stderr


def test_the_command_line_takes_it_for_every_method_that_works_on_maps(planted: Any, tmp_path: Path) -> None:
    done = planted(*COMPARE, "colourcam,everywhere", "--features-from", "planted-cnn", "--out", "run")
    assert done.returncode == 0, done.stderr
    methods = json.loads((tmp_path / "run" / "manifest.json").read_text())["identity"]["methods"]
    assert [method["config"].get("features_from") for method in methods] == ["planted-cnn", None]
    planted_image({"red": (8, 16, 24, 32)}).save(tmp_path / "red.png")
    asked = ("explain", "red.png", "--text", "red", "--encoder", "planted-cnn", "--json")
    told = planted(*asked, "--methods", "colourcam", "--features-from", "planted-cnn")
    assert json.loads(told.stdout)["explanations"][0]["forwards"] == 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("everywhere", "--features-from", "planted-cnn"), "not for everywhere"),
        (("everywhere:features_from=planted-cnn",), "has no option 'features_from'"),
        (("colourcam", "--features-from", "planted"), "planted"),
        (("colourcam:layer=layer9", "--features-from", "planted-cnn"), "planted-cnn has no layer 'layer9'"),
    ],
)
def test_what_cannot_be_is_refused_in_words(planted: Any, arguments: tuple[str, ...], told: str) -> None:
    done = planted(*COMPARE, *arguments)
    assert done.returncode != 0
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_a_handed_over_encoder_needs_a_method_that_works_on_maps(planted: Any) -> None:
    with pytest.raises(UsageError, match="not for everywhere"):
        parse_methods(["everywhere"], features_from=PlantedCNN())
