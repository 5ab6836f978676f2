"""Which layers the methods take, how tokens become maps, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from cam_encoders import TinyEncoder, make_vit, pixels_for, texts_for
from torch import nn

from xtool.plugin import TokenGrid, UsageError
from xtool_cam.ablationcam import AblationCAM
from xtool_cam.config import AblationCAMConfig, GradientConfig
from xtool_cam.gradient import GradCAM, HiResCAM


def test_the_last_block_of_a_vit_is_refused_and_says_what_to_use(vit: TinyEncoder) -> None:
    pixels = pixels_for(vit)
    with pytest.raises(UsageError, match=r"blocks\.2 .*gradient of every patch token is zero.*blocks\.2\.ln_1"):
        GradCAM(GradientConfig(layer="blocks.2")).explain(vit, pixels, texts_for(vit, pixels))


def test_the_last_block_is_fine_where_patches_are_pooled() -> None:
    vit = make_vit(pool_type="avg")
    pixels = pixels_for(vit)
    assert HiResCAM(GradientConfig(layer="blocks.2")).explain(vit, pixels, texts_for(vit, pixels)).maps.any()


@pytest.mark.parametrize("layer", ["auto", "blocks.0", "blocks.1", "blocks.0.ln_1", "blocks.2.ln_1"])
def test_blocks_before_the_last_attention_are_fine(vit: TinyEncoder, layer: str) -> None:
    pixels = pixels_for(vit)
    assert HiResCAM(GradientConfig(layer=layer)).explain(vit, pixels, texts_for(vit, pixels)).maps.any()


def test_a_vit_of_one_block_has_a_default_layer() -> None:
    vit = make_vit(blocks=1)
    pixels = pixels_for(vit)
    assert HiResCAM(GradientConfig()).explain(vit, pixels, texts_for(vit, pixels)).maps.any()


def test_an_image_without_any_gradient_gives_a_zero_map_not_an_error(vit: TinyEncoder) -> None:
    pixels = pixels_for(vit)
    assert not GradCAM(GradientConfig()).explain(vit, pixels, torch.zeros(1, 16)).maps.any()


@pytest.mark.parametrize(("layer", "hint"), [("blocks.7", "did you mean blocks"), ("xyz", "it has: blocks.0")])
def test_an_unknown_layer_is_refused_with_a_hint(vit: TinyEncoder, layer: str, hint: str) -> None:
    with pytest.raises(UsageError, match=hint):
        GradCAM(GradientConfig(layer=layer)).explain(vit, pixels_for(vit), torch.zeros(1, 16))


@pytest.mark.parametrize("method", [GradCAM(GradientConfig()), AblationCAM(AblationCAMConfig())])
def test_a_layer_that_is_not_as_described_is_refused_in_words(
    vit: TinyEncoder, method: GradCAM | AblationCAM, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = vit.layer("blocks.1")
    monkeypatch.setattr(vit, "layer", lambda _: replace(layer, layout=TokenGrid(4, 5, 1)))
    pixels = pixels_for(vit)
    with pytest.raises(UsageError, match=r"blocks\.1 gives \[2, 25, 32\], where 4×5 patch tokens after 1 others"):
        method.explain(vit, pixels, texts_for(vit, pixels))


def test_dot_is_refused_where_the_tower_returns_something_else(cnn: TinyEncoder) -> None:
    project = torch.randn(16, 16)
    plain = cnn.visual
    cnn.encode_image = lambda pixels: nn.functional.normalize(plain(pixels) @ project, dim=-1)  # type: ignore[method-assign]
    pixels = pixels_for(cnn)
    text = texts_for(cnn, pixels)
    GradCAM(GradientConfig()).explain(cnn, pixels, text)
    with pytest.raises(UsageError, match="score=dot needs the image embedding before it is normalised"):
        GradCAM(GradientConfig(score="dot")).explain(cnn, pixels, text)


def test_an_encoder_without_gradient_is_refused_in_words(cnn: TinyEncoder) -> None:
    cnn.encode_image = torch.no_grad()(cnn.encode_image)  # type: ignore[method-assign]
    pixels = pixels_for(cnn)
    with pytest.raises(UsageError, match="cannot be differentiated"):
        GradCAM(GradientConfig()).explain(cnn, pixels, texts_for(cnn, pixels))


@pytest.mark.parametrize("place", [(0, 0), (0, 5), (3, 0), (1, 4)])
def test_evidence_appears_where_it_was_planted_on_a_non_square_grid(place: tuple[int, int]) -> None:
    """Only one patch of a 4×6 grid differs from the rest; the map must peak there and nowhere else."""
    vit = make_vit((32, 48), blocks=1)
    with torch.no_grad():
        vit.visual.positional_embedding.zero_()  # so that nothing but the patch's content tells places apart
    row, column = place
    pixels = torch.zeros(1, 3, 32, 48)
    pixels[:, :, row * 8 : row * 8 + 8, column * 8 : column * 8 + 8] = torch.randn(3, 8, 8)
    text = texts_for(vit, pixels, 1)
    for method in (HiResCAM(GradientConfig()), AblationCAM(AblationCAMConfig())):
        for_and_against = method.explain(vit, pixels, torch.cat([text, -text])).maps[0]
        found = for_and_against.amax(dim=0)  # the patch speaks for the text or against it; one of the two maps shows it
        assert found.shape == (4, 6)
        assert found[row, column] > 1e-4
        rest = found.flatten()[torch.arange(24) != row * 6 + column]
        assert (rest - rest[0]).abs().max() < 1e-6  # patches of the same content have the same value


@pytest.mark.parametrize("method", [HiResCAM(GradientConfig()), AblationCAM(AblationCAMConfig())])
def test_sequence_first_transformers_give_the_same_map(method: GradCAM | AblationCAM) -> None:
    vit = make_vit()
    pixels = pixels_for(vit)
    text = texts_for(vit, pixels)
    expected = method.explain(vit, pixels, text).maps
    vit.visual.transformer.batch_first = False
    for block in vit.visual.transformer.resblocks:
        block.attn.batch_first = False
    torch.testing.assert_close(method.explain(vit, pixels, text).maps, expected, atol=1e-6, rtol=1e-4)
