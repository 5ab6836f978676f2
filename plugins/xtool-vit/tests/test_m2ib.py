"""M2IB against the description written with its own optimiser on raw modules."""

from __future__ import annotations

import math

import pytest
import torch
from raw_towers import grid_of, projected, raw_blocks
from torch import Tensor
from vit_towers import make_tower, pixels_for, texts_for

from xtool.plugin import UsageError
from xtool.testing import PlantedViT
from xtool.testing.compare_maps import peak
from xtool.testing.setups import scene, texts
from xtool_clip.encoder import ClipEncoder
from xtool_vit.config import M2IBConfig
from xtool_vit.m2ib import M2IB


def expected_map(encoder: ClipEncoder, pixels: Tensor, text: Tensor, layer: int, steps: int = 10) -> Tensor:
    """[h, w] in float32, one copy of the noise after the other; Adam as in its paper."""
    blocks = raw_blocks(encoder, pixels)[layer + 1 :]
    tokens = blocks[0].x
    noise = torch.randn(steps, 10, *tokens.shape, generator=torch.Generator().manual_seed(0))
    alpha = torch.full_like(tokens, 5.0)
    first, second = torch.zeros_like(alpha), torch.zeros_like(alpha)
    for step in range(steps):
        alpha.requires_grad_()
        kept = 1 / (1 + torch.exp(-alpha))
        match = torch.zeros(())
        for copy in range(10):
            mixed = kept * tokens + (1 - kept) * noise[step, copy]
            for block in blocks:
                mixed = block.at(mixed).output()
            match = match + projected(encoder.visual, mixed[0]) @ text / 10
        loss = 0.1 * information(alpha, tokens).mean() - match
        gradient = torch.autograd.grad(loss, alpha)[0]
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        unbiased = (second / (1 - 0.999 ** (step + 1))).sqrt()
        alpha = alpha.detach() - first / (1 - 0.9 ** (step + 1)) / (unbiased + 1e-8)
    return information(alpha, tokens)[1:].sum(dim=1).view(grid_of(encoder))


def information(alpha: Tensor, tokens: Tensor) -> Tensor:
    """KL of N(μ, σ²) from N(0, 1) with μ = λx and σ = 1 − λ."""
    kept = 1 / (1 + torch.exp(-alpha))
    deviation = 1 / (1 + torch.exp(alpha))
    return -0.5 * (1 + 2 * deviation.log() - (kept * tokens) ** 2 - deviation**2)


@pytest.mark.parametrize("kind", ["class token", "layer scale"])
def test_it_is_the_description_written_with_its_own_optimiser(kind: str) -> None:
    encoder = make_tower(kind)
    pixels, text = pixels_for(encoder, 1), texts_for(encoder, 1)
    found = M2IB(M2IBConfig()).explain(encoder, pixels, text).maps[0, 0]
    expected = expected_map(encoder, pixels, text[0], 1)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_it_is_the_same_on_vit_b_16(base: ClipEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the ten steps, which small towers take above, the first three."""
    monkeypatch.setattr("xtool_vit.m2ib.STEPS", 3)
    pixels, text = pixels_for(base, 1), texts_for(base, 1)
    found = M2IB(M2IBConfig()).explain(base, pixels, text).maps[0, 0]
    expected = expected_map(base, pixels, text[0], 9, steps=3)
    assert float((found - expected).abs().max() / expected.max()) < 1e-4


def test_the_information_is_the_divergence_of_two_normal_distributions() -> None:
    alpha, tokens = torch.tensor(0.7), torch.tensor(1.3)
    kept = torch.distributions.Normal(alpha.sigmoid() * tokens, 1 - alpha.sigmoid())
    expected = torch.distributions.kl_divergence(kept, torch.distributions.Normal(0.0, 1.0))
    from xtool_vit.m2ib import _information

    torch.testing.assert_close(_information(alpha, tokens), expected)
    assert math.isfinite(float(_information(torch.tensor(200.0), tokens)))


def test_an_image_has_the_same_map_in_any_company_and_the_seed_decides_it(vit: ClipEncoder) -> None:
    pixels, text = pixels_for(vit, 3), texts_for(vit, 2)
    together = M2IB(M2IBConfig()).explain(vit, pixels, text).maps
    torch.randn(7)  # what others draw does not matter
    alone = M2IB(M2IBConfig()).explain(vit, pixels[2:], text[1:]).maps
    torch.testing.assert_close(alone[0, 0], together[2, 1], rtol=1e-3, atol=1e-4)
    other = M2IB(M2IBConfig(seed=1)).explain(vit, pixels[2:], text[1:]).maps
    assert float((other - alone).abs().max()) > 0.01 * float(alone.max())


@pytest.mark.parametrize("place", [(1, 1), (7, 3)])
def test_where_information_is_dear_that_of_the_evidence_alone_is_kept(place: tuple[int, int]) -> None:
    encoder = PlantedViT()
    x, y = place
    pixels = scene(encoder, {"red": (x, y, x + 2, y + 2)})
    heat = M2IB(M2IBConfig(beta=1.0)).explain(encoder, pixels, texts(encoder, ("red",))).maps[0, 0]
    found = peak(heat, encoder.info.input_size)
    assert found is not None
    assert found == pytest.approx((8 * (x + 1), 8 * (y + 1)), abs=6)


def test_an_unknown_layer_is_refused(vit: ClipEncoder) -> None:
    with pytest.raises(UsageError, match=r"small has no layer 'blocks\.3'"):
        M2IB(M2IBConfig(layer="blocks.3")).explain(vit, pixels_for(vit), texts_for(vit))
