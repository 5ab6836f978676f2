"""The adapter: classes of pytorch-grad-cam, and one's own, shown as the class shows them when it runs by itself."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import pytorch_grad_cam as pgc
import torch
from cam_encoders import TinyEncoder, make_cnn, make_vit, pixels_for, texts_for
from cam_oracle import as_shown, module_and_reshape, oracle
from pytorch_grad_cam.utils.image import scale_cam_image
from torch import Tensor, nn
from torch.nn import functional as F

from xtool.plugin import UsageError
from xtool_cam.config import PGCConfig
from xtool_cam.pgc import PytorchGradCAM

CLOSE = {"atol": 1e-4, "rtol": 0}


def explained(encoder: TinyEncoder, pixels: Tensor, text: Tensor, **options: Any) -> Tensor:
    return PytorchGradCAM(PGCConfig(**options)).explain(encoder, pixels, text).maps


@pytest.mark.parametrize("name", ["GradCAM", "GradCAMElementWise", "EigenGradCAM", "KPCA_CAM", "FEM"])
def test_a_class_by_name_shows_what_it_shows_by_itself(encoder: TinyEncoder, name: str) -> None:
    """On its own it hooks the layer with a reshape_transform; here it sees maps, on CNN and ViT alike."""
    pixels = pixels_for(encoder)
    text = texts_for(encoder, pixels)
    expected = oracle(getattr(pgc, name), encoder, pixels, text)
    np.testing.assert_allclose(as_shown(explained(encoder, pixels, text, name=name), pixels), expected, **CLOSE)
    assert expected.max() > 0.9


def test_shapleycam_is_grad_cam_less_half_the_hessian_times_the_activations(vit: TinyEncoder) -> None:
    """On a ViT, where pytorch-grad-cam's own fails, from the definition: w = mean(g − ½ H A)."""
    pixels = pixels_for(vit, 1)
    text = texts_for(vit, pixels, 1)
    module, reshape = module_and_reshape(vit)
    seen: list[Tensor] = []

    def cut(_module: Any, _inputs: Any, output: Tensor) -> Tensor:
        seen.append(output.detach().requires_grad_())
        return seen[0]

    handle = module.register_forward_hook(cut)
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        score = (vit.encode_image(pixels) @ text.T).sum()
        (gradient,) = torch.autograd.grad(score, seen[0], create_graph=True)
        # Only patches are activations: the class token is not part of the maps.
        patches = torch.cat([torch.zeros_like(seen[0][:, :1]), seen[0][:, 1:]], dim=1).detach()
        (product,) = torch.autograd.grad(gradient, seen[0], grad_outputs=patches)
    handle.remove()
    weights = reshape(gradient - 0.5 * product).mean(dim=(2, 3))
    expected = torch.einsum("bc,bchw->bhw", weights, reshape(seen[0])).relu()
    torch.testing.assert_close(explained(vit, pixels, text, name="ShapleyCAM")[:, 0], expected, atol=1e-6, rtol=1e-3)


@pytest.mark.parametrize("against", ["", "a cat|something else"])
def test_finercam_explains_the_text_less_the_texts_it_is_compared_with(cnn: TinyEncoder, against: str) -> None:
    """Grad-CAM of Σ_k p_k (s − α s_k) / Σ_k p_k, p the softmax over all scores (Zhang et al. 2025)."""
    pixels = pixels_for(cnn, 1)
    text = texts_for(cnn, pixels, 1)
    others = cnn.encode_text(against.split("|"))
    seen: list[Tensor] = []
    handle = cnn.visual.layer4.register_forward_hook(lambda _m, _i, output: seen.append(output))
    scores = (cnn.encode_image(pixels) @ torch.cat([text, others]).T)[0]
    handle.remove()
    shares = scores.softmax(dim=0)[1:]
    difference = (shares * (scores[0] - 0.5 * scores[1:])).sum() / shares.sum()
    (gradient,) = torch.autograd.grad(difference, seen[0])
    expected = torch.einsum("bc,bchw->bhw", gradient.mean(dim=(2, 3)), seen[0]).relu().detach()
    found = explained(cnn, pixels, text, name="FinerCAM", against=against, alpha=0.5)[:, 0]
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-3)
    assert expected.any()


@pytest.mark.parametrize("make", [make_cnn, make_vit])
def test_a_class_of_ones_own_by_import_string(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Largest(pgc.base_cam.BaseCAM):  # type: ignore[misc]
        """Weights each map by its largest gradient."""

        def get_cam_weights(self, images: Any, layer: Any, targets: Any, activations: Any, grads: Any) -> Any:
            return grads.max(axis=(2, 3))

    module = ModuleType("own_cam")
    module.Largest = Largest  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "own_cam", module)
    encoder = make()
    pixels = pixels_for(encoder)
    text = texts_for(encoder, pixels)
    expected = oracle(Largest, encoder, pixels, text)
    for name in ("own_cam.Largest", "own_cam:Largest"):
        np.testing.assert_allclose(as_shown(explained(encoder, pixels, text, name=name), pixels), expected, **CLOSE)


def test_maps_are_those_of_the_layer_not_resized_or_scaled(vit: TinyEncoder) -> None:
    pixels = pixels_for(vit)
    text = texts_for(vit, pixels)
    found = explained(vit, pixels, text, name="HiResCAM")
    assert found.shape == (2, 3, 4, 6)
    assert found.max() < 0.5  # gradients of a cosine are small; scaled maps would reach 1
    shown = as_shown(found, pixels)
    np.testing.assert_allclose(shown[0], scale_cam_image(shown[0]), atol=1e-5)


def test_it_works_in_inference_mode(cnn: TinyEncoder) -> None:
    pixels = pixels_for(cnn)
    text = texts_for(cnn, pixels)
    expected = explained(cnn, pixels, text, name="FinerCAM")
    with torch.inference_mode():
        found = explained(cnn, pixels.clone(), text.clone(), name="FinerCAM")
    torch.testing.assert_close(found.clone(), expected)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("FinnerCAM", "no class 'FinnerCAM'; did you mean FinerCAM"),
        ("Quatsch", "it has: AblationCAM, EigenCAM"),
        ("FullGrad", "has no layer to explain"),
        ("RandomCAM", "no run could be repeated"),
        ("RefineCAM", "several layers"),
        ("SESS", "crops of many sizes"),
        ("AblationLayer", "not a subclass of pytorch_grad_cam's BaseCAM"),
        ("torch.nn.Linear", "not a subclass of pytorch_grad_cam's BaseCAM"),
        ("no_such_module.Cam", "cannot be imported: No module named 'no_such_module'"),
    ],
)
def test_what_cannot_be_used_is_refused_in_words(name: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        PytorchGradCAM(PGCConfig(name=name))


def test_an_encoder_without_gradient_is_refused_in_words(cnn: TinyEncoder) -> None:
    plain = cnn.visual
    cnn.encode_image = torch.no_grad()(lambda pixels: F.normalize(plain(pixels), dim=-1))  # type: ignore[method-assign]
    with pytest.raises(UsageError, match="cannot be differentiated up to layer layer4"):
        explained(cnn, pixels_for(cnn), torch.eye(16)[:1], name="GradCAM")
    assert all(parameter.requires_grad for parameter in nn.Module.parameters(plain))
