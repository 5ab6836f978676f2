"""Models of timm that only propose feature maps: DINO and other vision transformers, networks without named classes."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import timm
import torch

from xtool.plugin import EncoderOptions, LayerFeatures, UsageError, build_extractor
from xtool_timm.features_only import FeatureEncoder
from xtool_timm.load import load

SEED = EncoderOptions(device="cpu", seed=3)


def loaded(model: str, **options: Any) -> FeatureEncoder:
    encoder = load("timm", SEED.model_copy(update={"pretrained": f"{model}=none", **options}))
    assert isinstance(encoder, FeatureEncoder)
    return encoder


def noise(encoder: FeatureEncoder) -> torch.Tensor:
    return torch.randn(2, 3, *encoder.info.input_size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("model", "prefix"),
    [
        ("vit_tiny_patch16_224", 1),
        ("vit_small_patch14_dinov2", 1),
        pytest.param("vit_small_patch14_reg4_dinov2", 5, marks=pytest.mark.slow),
        pytest.param("vit_small_patch16_dinov3", 5, marks=pytest.mark.slow),
    ],
)
@torch.no_grad()
def test_a_transformer_s_patch_tokens_are_its_maps(model: str, prefix: int) -> None:
    encoder = loaded(model, input_size=112)
    pixels = noise(encoder)
    found = build_extractor("auto", "auto", None, encoder.info).extract(encoder, pixels)
    blocks = list(encoder.visual.blocks)  # type: ignore[arg-type]
    seen: list[torch.Tensor] = []
    handle = blocks[-1].register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    tower: Any = encoder.visual
    tower(pixels)
    handle.remove()
    side = 112 // (encoder.info.patch_size or 1)
    tokens = seen[0][:, prefix:]
    assert found.maps.shape == (2, tokens.shape[2], side, side)
    assert torch.allclose(found.maps[1, :, 2, 3], tokens[1, 2 * side + 3], atol=1e-5)
    assert torch.allclose(found.embedding.norm(dim=1), torch.ones(2))


@torch.no_grad()
def test_what_timm_pools_is_the_embedding() -> None:
    encoder = loaded("vit_tiny_patch16_224")
    own = timm.create_model("vit_tiny_patch16_224", num_classes=0).eval()
    own.load_state_dict(encoder.visual.state_dict(), strict=False)
    expected = torch.nn.functional.normalize(own(noise(encoder)), dim=1)
    assert torch.allclose(encoder.encode_image(noise(encoder)), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("model", "layer", "shape"),
    [
        ("resnet18.a_number_of_other_classes", "layer3", (2, 256, 14, 14)),
        pytest.param("swin_tiny_patch4_window7_224", "layers.2", (2, 384, 14, 14), marks=pytest.mark.slow),
    ],
)
@torch.no_grad()
def test_stages_are_read_whichever_way_their_channels_lie(
    model: str, layer: str, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = model.partition(".")[0]
    if name != model:
        monkeypatch.setattr("timm.data.infer_imagenet_subset", lambda _: None)
    encoder = loaded(name)
    assert LayerFeatures(layer).extract(encoder, noise(encoder)).maps.shape == shape


@pytest.mark.parametrize(
    ("model", "told"),
    [("vit_small_patch14_dinov2", "it has no classifier"), ("vit_tiny_patch16_224", "only CNNs judge")],
)
def test_a_text_is_refused_with_the_reason_and_the_way_out(model: str, told: str) -> None:
    encoder = loaded(model, input_size=112)
    with pytest.raises(
        UsageError, match=rf"timm \({model}, random \(seed 3\)\) cannot judge texts: .*{told}.*features_from"
    ):
        encoder.encode_text(["a cat"])


def test_a_side_that_the_patches_do_not_fill_is_refused() -> None:
    with pytest.raises(UsageError, match="timm: the side of its images must be a multiple of its patches of 16 pixels"):
        loaded("vit_tiny_patch16_224", input_size=100)


@torch.no_grad()
def test_a_copy_and_a_pickled_encoder_propose_the_same_maps() -> None:
    encoder = loaded("vit_tiny_patch16_224", input_size=112)
    maps = LayerFeatures("auto").extract(encoder, noise(encoder)).maps
    for again in (copy.deepcopy(encoder), pickle.loads(pickle.dumps(encoder))):
        assert again.visual is not encoder.visual
        torch.testing.assert_close(LayerFeatures("auto").extract(again, noise(again)).maps, maps, rtol=0, atol=1e-5)
