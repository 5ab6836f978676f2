"""Each method shows what pytorch-grad-cam's own class shows when it runs the same model by itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import pytorch_grad_cam as pgc
import torch
from cam_encoders import LastStage, TinyEncoder, make_cnn, make_vit, pixels_for, texts_for, with_statistics
from cam_oracle import as_shown, module_and_reshape, oracle
from pytorch_grad_cam.ablation_layer import AblationLayer, AblationLayerVit

from xtool.plugin import FeatureMaps
from xtool_cam import gradient
from xtool_cam.ablationcam import AblationCAM
from xtool_cam.config import AblationCAMConfig, EigenCAMConfig, GradCAMPlusPlusConfig, GradientConfig, ScoreCAMConfig
from xtool_cam.eigencam import EigenCAM
from xtool_cam.scorecam import ScoreCAM

GRADIENT_METHODS = ["GradCAM", "GradCAMPlusPlus", "XGradCAM", "HiResCAM", "LayerCAM"]
CLOSE = {"atol": 1e-4, "rtol": 0}


@pytest.mark.parametrize("name", GRADIENT_METHODS)
@pytest.mark.parametrize("score", ["cosine", "dot"])
def test_gradient_methods(encoder: TinyEncoder, name: str, score: Any) -> None:
    pixels = pixels_for(encoder)
    text = texts_for(encoder, pixels)
    config = (
        GradCAMPlusPlusConfig(score=score, epsilon="pgc") if name == "GradCAMPlusPlus" else GradientConfig(score=score)
    )
    method = getattr(gradient, name)(config)
    expected = oracle(getattr(pgc, name), encoder, pixels, text, normalize=score == "cosine")
    np.testing.assert_allclose(as_shown(method.explain(encoder, pixels, text).maps, pixels), expected, **CLOSE)
    assert expected.max() > 0.9  # not a comparison of empty maps


@pytest.mark.parametrize("layer", ["layer1", "layer2", "layer3"])
def test_early_layers(cnn: TinyEncoder, layer: str) -> None:
    pixels = pixels_for(cnn)
    text = texts_for(cnn, pixels)
    maps = gradient.LayerCAM(GradientConfig(layer=layer)).explain(cnn, pixels, text).maps
    expected = oracle(pgc.LayerCAM, cnn, pixels, text, module=cnn.visual.get_submodule(layer))
    np.testing.assert_allclose(as_shown(maps, pixels), expected, **CLOSE)


def test_the_stem_is_what_comes_out_of_it(cnn: TinyEncoder) -> None:
    pixels = pixels_for(cnn)
    text = texts_for(cnn, pixels)
    found = gradient.layer_evidence(cnn, pixels, text, cnn.layer("stem"), "cosine")
    with torch.no_grad():
        np.testing.assert_allclose(found.activations, cnn.visual.stem(pixels), atol=1e-6)


def test_a_block_name_means_the_output_of_that_block(vit: TinyEncoder) -> None:
    pixels = pixels_for(vit)
    text = texts_for(vit, pixels)
    found = gradient.layer_evidence(vit, pixels, text, vit.layer("blocks.1"), "cosine")
    with torch.no_grad():
        expected = vit.visual.forward_intermediates(pixels, indices=[1])["image_intermediates"][0]
    np.testing.assert_allclose(found.activations, expected, atol=1e-6)


def test_eigencam(cnn: TinyEncoder) -> None:
    pixels = pixels_for(cnn)
    text = texts_for(cnn, pixels)
    shown = as_shown(EigenCAM(EigenCAMConfig(), LastStage()).explain(cnn, pixels, text).maps, pixels)
    expected = oracle(pgc.EigenCAM, cnn, pixels, text)
    with torch.no_grad():
        features = LastStage().extract(cnn, pixels).maps
    for image, maps in enumerate(features):
        # pytorch-grad-cam shows one of the two ends of the axis, whichever its linear algebra library turns up.
        centred = (maps - maps.mean(dim=(1, 2), keepdim=True)).flatten(1).double()
        axis = torch.linalg.eigh(centred @ centred.T).eigenvectors[:, -1]
        along = (axis @ centred).reshape(maps.shape[1:])
        along = along if along.max() > -along.min() else -along
        ours = as_shown(along.clamp(min=0)[None, None], pixels[image : image + 1])[0]
        np.testing.assert_allclose(shown[image], np.broadcast_to(ours, shown[image].shape), **CLOSE)
        other = as_shown((-along).clamp(min=0)[None, None], pixels[image : image + 1])[0]
        assert min(np.abs(expected[image] - ours).max(), np.abs(expected[image] - other).max()) < 1e-4


@pytest.mark.parametrize("ablate", ["zero", "pgc"])
def test_ablationcam_on_a_cnn(cnn: TinyEncoder, ablate: Any) -> None:
    pixels = pixels_for(cnn, 1)
    text = texts_for(cnn, pixels, 1)  # the score is positive, so that dividing by it changes nothing
    maps = AblationCAM(AblationCAMConfig(ablate=ablate)).explain(cnn, pixels, text).maps
    expected = oracle(pgc.AblationCAM, cnn, pixels, text, ablation_layer=AblationLayer())
    np.testing.assert_allclose(as_shown(maps, pixels), expected, **CLOSE)


def test_ablationcam_on_a_vit() -> None:
    vit = make_vit()
    pixels = pixels_for(vit, 1)
    text = texts_for(vit, pixels, 1)
    maps = AblationCAM(AblationCAMConfig(ablate="pgc", batch=1)).explain(vit, pixels, text).maps
    # pytorch-grad-cam's value for an ablated channel falls further with each channel of a chunk; not so at chunks of 1.
    expected = oracle(pgc.AblationCAM, vit, pixels, text, ablation_layer=AblationLayerVit(), batch_size=1)
    np.testing.assert_allclose(as_shown(maps, pixels), expected, **CLOSE)


def test_scorecam() -> None:
    cnn = with_statistics(make_cnn())
    pixels = pixels_for(cnn)
    text = texts_for(cnn, pixels)
    maps = ScoreCAM(ScoreCAMConfig(), LastStage()).explain(cnn, pixels, text).maps
    expected = oracle(pgc.ScoreCAM, cnn, pixels, text)
    np.testing.assert_allclose(as_shown(maps, pixels), expected, **CLOSE)
    assert differs_from_uniform(expected, cnn, pixels)


def differs_from_uniform(shown: np.ndarray, encoder: TinyEncoder, pixels: torch.Tensor) -> bool:
    """Whether the weights of the maps have a say in what is shown; if scores are much alike, any others would do."""
    with torch.no_grad():
        mean = LastStage().extract(encoder, pixels).maps.mean(dim=1, keepdim=True).relu()
    return bool((np.abs(as_shown(mean, pixels) - shown).max(axis=(2, 3)) > 0.01).all())


def test_scorecam_on_vit_tokens(vit: TinyEncoder) -> None:
    module, reshape = module_and_reshape(vit)

    class Tokens:
        def extract(self, encoder: Any, pixels: torch.Tensor) -> FeatureMaps:
            seen: list[torch.Tensor] = []
            handle = module.register_forward_hook(lambda _m, _i, output: seen.append(output))
            with torch.no_grad():
                embedding = encoder.encode_image(pixels)
            handle.remove()
            return FeatureMaps(reshape(seen[0]), embedding)

    pixels = pixels_for(vit)
    text = texts_for(vit, pixels)
    maps = ScoreCAM(ScoreCAMConfig(), Tokens()).explain(vit, pixels, text).maps
    np.testing.assert_allclose(as_shown(maps, pixels), oracle(pgc.ScoreCAM, vit, pixels, text), **CLOSE)


@pytest.mark.slow
def test_scorecam_and_gradcam_at_the_depth_of_rn50() -> None:
    """At half its width, which is 1,024 maps, and at 64 pixels: twice that many passes take long enough."""
    rn50 = with_statistics(make_cnn(size=64, layers=(3, 4, 6, 3), width=32))
    pixels = pixels_for(rn50, 1)
    text = texts_for(rn50, pixels, 1)
    maps = ScoreCAM(ScoreCAMConfig(), LastStage()).explain(rn50, pixels, text).maps
    # It adds 1e-7 to the range that it divides by, a visible part of a map of 1,024 channels: both over their own
    # maximum are free of it. (It also weighs dead maps, which only scales the map: these features are not negative.)
    found, expected = as_shown(maps, pixels), oracle(pgc.ScoreCAM, rn50, pixels, text)
    np.testing.assert_allclose(found / found.max(), expected / expected.max(), **CLOSE)
    assert differs_from_uniform(expected / expected.max(), rn50, pixels)
    maps = gradient.GradCAM(GradientConfig()).explain(rn50, pixels, text).maps
    np.testing.assert_allclose(as_shown(maps, pixels), oracle(pgc.GradCAM, rn50, pixels, text), **CLOSE)
