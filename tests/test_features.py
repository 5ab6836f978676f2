"""PCA of feature maps, and what the core adds to a feature extractor."""

from __future__ import annotations

import numpy as np
import torch

from xtool.contracts.protocols import Encoder, FeatureMaps
from xtool.engine.encoders import counted
from xtool.engine.features import SharedExtractor
from xtool.engine.layers import LayerFeatures
from xtool.engine.reduce import principal_components
from xtool.engine.work import Kept, account
from xtool.testing.planted import PlantedCNN


def maps(batch: int = 2, channels: int = 6) -> torch.Tensor:
    return torch.randn(batch, channels, 4, 5, generator=torch.Generator().manual_seed(0))


def test_components_are_the_eigenvectors_of_the_covariance_of_one_image() -> None:
    found = principal_components(maps(), 3)
    for image in range(2):
        x = maps()[image].flatten(1).T.double().numpy()
        x = x - x.mean(axis=0)
        values, vectors = np.linalg.eigh(x.T @ x)
        for k in range(3):
            expected = x @ vectors[:, np.argsort(values)[::-1][k]]
            component = found[image, k].flatten().double().numpy()
            assert min(np.abs(component - expected).max(), np.abs(component + expected).max()) < 1e-4


def test_there_are_never_more_components_than_channels_or_positions() -> None:
    assert principal_components(maps(1, 3), 8).shape == (1, 3, 4, 5)
    assert principal_components(torch.randn(1, 50, 2, 2), 8).shape == (1, 4, 2, 2)


def test_the_sign_of_a_component_does_not_depend_on_the_solver() -> None:
    assert torch.allclose(principal_components(maps(), 2)[1], principal_components(maps()[1:], 2)[0], atol=1e-5)


def test_one_pass_serves_two_methods_and_is_counted_for_each() -> None:
    extractor = SharedExtractor(LayerFeatures(), ("planted", "auto"))
    reduced = SharedExtractor(LayerFeatures(), ("planted", "auto"), pca=2)
    encoder, pixels = PlantedCNN(), torch.rand(1, 3, 64, 64)
    with account(Kept()) as work, torch.no_grad():
        first = extractor.extract(encoder, pixels)
        second = extractor.extract(encoder, pixels)
        assert first is second
        assert reduced.extract(encoder, pixels).maps.shape[1] == 2
    assert work.forwards == 3


def test_an_extractor_that_embeds_the_image_itself_counts_once() -> None:
    class Embeds(LayerFeatures):
        def extract(self, encoder: Encoder, pixels: torch.Tensor) -> FeatureMaps:
            encoder.encode_image(pixels)
            return super().extract(encoder, pixels)

    with account(Kept()) as work, torch.no_grad():
        SharedExtractor(Embeds(), ("embeds", "auto")).extract(counted(PlantedCNN()), torch.rand(2, 3, 64, 64))
    assert work.forwards == 2
