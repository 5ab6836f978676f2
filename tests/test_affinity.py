"""Class-aware attention affinity, against loops over single patches, and as an option of every method."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from xtool.contracts.protocols import Saliency
from xtool.engine.affinity import ClassAware, affinity_of, spread
from xtool.engine.cost import passes_of
from xtool.engine.encoders import counted
from xtool.engine.guard import Guarded
from xtool.engine.methods import build_method, parse_methods
from xtool.engine.refine import Mirrored, PixelAdaptive
from xtool.engine.transformer import read_stream
from xtool.engine.work import Kept, account
from xtool.errors import UsageError
from xtool.testing import PlantedCNN, PlantedViT
from xtool.testing.setups import two_scenes


def attention_of(vit: PlantedViT, pixels: torch.Tensor) -> list[np.ndarray]:
    """Each block's attention between patches, mean over heads, by torch's own attention layer: no hook, no reader."""
    tower = vit.visual
    found = []
    with torch.no_grad():
        patches = tower.conv1(pixels).flatten(2).transpose(1, 2)
        tokens = torch.cat([tower.prefix_embedding.expand(len(pixels), 1, -1), patches], 1) + tower.positional_embedding
        for block in tower.blocks:
            normed = block.ln_1(tokens)
            found.append(block.attn(normed, normed, normed, need_weights=True)[1][0, 1:, 1:].double().numpy())
            tokens = block(tokens)
    return found


def slow_affinity(attention: list[np.ndarray]) -> np.ndarray:
    """The definition: mean, three times columns and rows to a sum of 1, symmetric, squared."""
    mean = sum(attention) / len(attention)
    size = len(mean)
    for _ in range(3):
        mean = np.array([[mean[i, j] / mean[:, j].sum() for j in range(size)] for i in range(size)])
        mean = np.array([[mean[i, j] / mean[i].sum() for j in range(size)] for i in range(size)])
    symmetric = (mean + mean.T) / 2
    return symmetric @ symmetric


def test_the_affinity_is_that_of_the_definition_written_as_loops() -> None:
    vit = PlantedViT(seed=3)
    pixels = two_scenes(vit)[:1]
    found = affinity_of(read_stream(vit, pixels))
    np.testing.assert_allclose(found[0].numpy(), slow_affinity(attention_of(vit, pixels)), rtol=1e-4, atol=1e-7)


def test_a_map_is_spread_from_within_the_boxes_around_its_high_values_alone() -> None:
    maps = torch.tensor([[[[0.0, 0.0, 0.9, 0.0], [0.0, 1.0, 0.3, 0.0], [0.0, 0.0, 0.0, 0.3]]]])
    # 0.9 and 1.0 touch at a corner: one box, columns 1 and 2 of the two upper rows; the 0.3 in it is kept, that
    # outside is not.
    kept = torch.tensor([0.0, 0.0, 0.9, 0.0, 0.0, 1.0, 0.3, 0.0, 0.0, 0.0, 0.0, 0.0])
    affinity = torch.rand(1, 12, 12, generator=torch.Generator().manual_seed(0))
    expected = torch.tensor([sum(affinity[0, i, j] * kept[j] for j in range(12)) for i in range(12)])
    torch.testing.assert_close(spread(maps, affinity)[0, 0].flatten(), expected)


def test_two_hills_apart_have_two_boxes() -> None:
    maps = torch.zeros(1, 1, 1, 5)
    maps[..., 0], maps[..., 2], maps[..., 4] = 1.0, 0.2, 0.5
    assert spread(maps, torch.eye(5)[None]).flatten().tolist() == [1, 0, 0, 0, 0.5]


def test_a_signed_map_is_measured_from_its_lowest_value_and_a_constant_one_is_nothing() -> None:
    identity = torch.eye(4)[None]
    signed = torch.tensor([[[[-3.0, -1.0], [-2.5, -3.0]]]])
    assert spread(signed, identity).flatten().tolist() == [0, 2, 0, 0]
    assert not spread(torch.full((1, 1, 2, 2), 0.3), identity).any()


def test_every_method_takes_it_after_the_mirror_and_before_the_edges() -> None:
    (request,) = parse_methods(["center:flip=true:refine=caa+pamr"])
    guarded = build_method(request, PlantedViT().info)
    assert isinstance(guarded, Guarded)
    method = guarded.method
    assert isinstance(method, PixelAdaptive)
    assert isinstance(method.method, ClassAware)
    assert isinstance(method.method.method, Mirrored)


class Given:
    """A method whose map is given, of any size, with a verdict."""

    def __init__(self, maps: torch.Tensor) -> None:
        self.maps = maps

    def explain(self, encoder: object, pixels: torch.Tensor, text: torch.Tensor) -> Saliency:
        return Saliency(self.maps, present=torch.tensor([[True]]), scores=torch.tensor([[0.25]]))


def test_a_map_of_any_size_gets_the_grid_of_the_patches_and_keeps_its_verdict() -> None:
    vit = PlantedViT()
    pixels = two_scenes(vit)[:1]
    maps = torch.rand(1, 1, 17, 23, generator=torch.Generator().manual_seed(0))
    found = ClassAware(Given(maps)).explain(vit, pixels, vit.encode_text(["red"]))
    assert found.maps.shape == (1, 1, 6, 10)
    assert found.present is not None
    assert found.scores is not None
    assert (found.present.item(), found.scores.item()) == (True, 0.25)


def test_an_encoder_without_attention_is_refused_in_words() -> None:
    (request,) = parse_methods(["center:refine=caa"])
    with pytest.raises(UsageError, match=r"refine=caa spreads a map along attention.*planted-cnn is a cnn"):
        build_method(request, PlantedCNN().info)


def test_its_pass_is_made_once_and_charged_to_each_method_that_asks_for_it() -> None:
    vit = counted(PlantedViT())
    pixels = two_scenes(PlantedViT())[:1]
    (request,) = parse_methods(["center:refine=caa"])
    method, text = build_method(request, vit.info), vit.encode_text(["red"])
    with account(Kept()) as work:
        method.explain(vit, pixels, text)
        assert work.forwards == 1
        method.explain(vit, pixels, text)
    assert work.forwards == 2
    assert work.charged_seconds > 0
    plain, refined = parse_methods(["gradcam", "gradcam:refine=caa"])
    assert [passes_of(asked, vit, pixels, texts=1) for asked in (plain, refined)] == [1, 2]
