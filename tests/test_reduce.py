"""Clusters of feature maps: against Ward's criterion written out, and what is left out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from xtool.engine.features import SharedExtractor, build_extractor
from xtool.engine.layers import LayerFeatures
from xtool.engine.reduce import cluster_sums
from xtool.errors import UsageError
from xtool.testing.planted import PlantedCNN


def random_maps(channels: int = 12, seed: int = 0) -> torch.Tensor:
    return torch.rand(1, channels, 3, 4, generator=torch.Generator().manual_seed(seed))


def ward_by_hand(maps: torch.Tensor, k: int) -> set[frozenset[int]]:
    """Merge, again and again, the two clusters whose union adds the least to the squared distances from the means."""
    flat = maps.flatten(1).double().numpy()
    low, high = flat.min(axis=1, keepdims=True), flat.max(axis=1, keepdims=True)
    rows = (flat - low) / np.maximum(high - low, 1e-12)

    def spread(members: frozenset[int]) -> float:
        chosen: NDArray[np.float64] = rows[sorted(members)]
        return float(((chosen - chosen.mean(axis=0)) ** 2).sum())

    clusters = {frozenset([i]) for i in range(len(rows)) if high[i] > low[i]}
    while len(clusters) > k:
        pairs = [(a, b) for a in clusters for b in clusters if min(a) < min(b)]
        a, b = min(pairs, key=lambda pair: spread(pair[0] | pair[1]) - spread(pair[0]) - spread(pair[1]))
        clusters = clusters - {a, b} | {a | b}
    return clusters


@pytest.mark.parametrize("k", [1, 3, 5])
def test_clusters_are_wards_and_maps_are_their_sums(k: int) -> None:
    maps = random_maps()
    maps[0, 4] = 0.25  # constant: belongs nowhere
    clusters = sorted(ward_by_hand(maps[0], k), key=min)
    found = cluster_sums(maps, k)[0]
    assert len(found) == len(clusters)
    for cluster, total in zip(clusters, found, strict=True):
        assert torch.allclose(total, maps[0, sorted(cluster)].sum(dim=0), atol=1e-6)


def test_shape_decides_and_not_strength() -> None:
    left, right = torch.zeros(2, 3, 4)
    left[:, 0], right[:, 3] = 1.0, 1.0
    maps = torch.stack([left, 100 * right, 50 * left, 0.1 * right])[None]
    assert torch.allclose(cluster_sums(maps, 2)[0], torch.stack([51 * left, 100.1 * right]), atol=1e-4)


def test_each_image_has_its_own_clusters() -> None:
    both = torch.cat([random_maps(seed=1), random_maps(seed=2)])
    together = cluster_sums(both, 4)
    for image in range(2):
        assert torch.equal(together[image], cluster_sums(both[image : image + 1], 4)[0])


def test_fewer_maps_than_clusters_are_kept_as_they_are_and_the_rest_is_zero() -> None:
    maps = random_maps(5)
    maps[0, 1] = 3.0
    found = cluster_sums(maps, 8)[0]
    assert torch.equal(found, torch.cat([maps[0, [0, 2, 3, 4]], torch.zeros(1, 3, 4)]))
    assert cluster_sums(torch.ones(1, 5, 3, 4), 2).abs().sum() == 0


def test_an_extractor_gives_clusters_and_refuses_two_reductions() -> None:
    encoder, pixels = PlantedCNN(), torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        whole = LayerFeatures().extract(encoder, pixels)
        few = SharedExtractor(LayerFeatures(), ("planted", "auto"), clusters=2).extract(encoder, pixels)
    assert torch.equal(few.maps, cluster_sums(whole.maps, 2))
    assert torch.equal(few.embedding, whole.embedding)
    with pytest.raises(UsageError, match="one of them"):
        build_extractor("auto", "auto", 2, encoder.info, clusters=2)
