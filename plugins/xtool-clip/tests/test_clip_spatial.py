"""Feature maps of CNN stages."""

from __future__ import annotations

import pytest
import torch
from clip_testing import Build, noise

from xtool.plugin import LayerFeatures, UsageError
from xtool_clip.encoder import ClipEncoder


@pytest.mark.parametrize("layer", ["stem", "layer1", "layer2", "layer3", "layer4"])
def test_a_stage_is_what_a_hook_on_its_module_sees(cnn: ClipEncoder, layer: str) -> None:
    pixels, seen = noise(cnn), []
    # The stem is a method, not a module; its last step is the average pooling.
    module = cnn.visual.get_submodule("avgpool" if layer == "stem" else layer)
    handle = module.register_forward_hook(lambda _, __, output: seen.append(output))
    with torch.no_grad():
        embedding = cnn.encode_image(pixels)
    handle.remove()
    with torch.no_grad():
        features = LayerFeatures(layer).extract(cnn, pixels)
    # The last maps come from the twin, whose folded norms round differently.
    room = 1e-5 * float(seen[0].abs().max()) if layer == "layer4" else 0.0
    torch.testing.assert_close(features.maps, seen[0], rtol=0, atol=room)
    torch.testing.assert_close(features.embedding, embedding, rtol=0, atol=1e-5 if layer == "layer4" else 0.0)


@torch.inference_mode()
def test_rn50_gives_2048_maps_of_7_by_7_from_its_default_layer(rn50: ClipEncoder) -> None:
    pixels = noise(rn50, batch=1)
    features = LayerFeatures().extract(rn50, pixels)
    assert features.maps.shape == (1, 2048, 7, 7)
    assert features.maps.dtype == features.embedding.dtype == torch.float32
    torch.testing.assert_close(features.embedding, rn50.encode_image(pixels))


@torch.inference_mode()
def test_one_extraction_is_one_pass(cnn: ClipEncoder) -> None:
    passes = []
    handle = cnn.visual.conv1.register_forward_hook(lambda *_: passes.append(1))  # type: ignore[union-attr]
    LayerFeatures("layer2").extract(cnn, noise(cnn))
    handle.remove()
    assert len(passes) == 1


def test_maps_stay_on_the_graph_when_pixels_ask_for_gradients(cnn: ClipEncoder) -> None:
    pixels = noise(cnn).requires_grad_()
    features = LayerFeatures("layer3").extract(cnn, pixels)
    (gradient,) = torch.autograd.grad(features.embedding[:, 0].sum() + features.maps.sum(), pixels)
    assert gradient.abs().sum() > 0
    assert features.maps.grad_fn is not None


def test_hierarchical_timm_towers_have_stages_too(build: Build) -> None:
    convnext = build({"timm_model_name": "test_convnext", "timm_proj": "linear", "timm_pool": "avg", "image_size": 64})
    pixels = noise(convnext)
    with torch.no_grad():
        features = LayerFeatures().extract(convnext, pixels)
        torch.testing.assert_close(features.embedding, convnext.encode_image(pixels))
    assert convnext.info.architecture == "cnn"
    assert features.maps.shape[-2:] == (2, 2)


def test_an_unknown_layer_is_refused_with_the_nearest_and_all(cnn: ClipEncoder) -> None:
    with pytest.raises(UsageError, match=r"did you mean layer4\?.*stem, layer1"):
        LayerFeatures("layer5").extract(cnn, noise(cnn))


def test_pixels_of_another_size_are_refused(cnn: ClipEncoder) -> None:
    with pytest.raises(ValueError, match=r"takes pixels \[B, 3, 64, 64\], not \[1, 3, 32, 32\]"):
        LayerFeatures().extract(cnn, torch.zeros(1, 3, 32, 32))
