"""LayerFeatures, attention, queries, keys and values of ViT blocks, against the block's own arithmetic."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from clip_testing import VIT, Build, hooks_in, noise
from torch import Tensor, nn

from xtool.plugin import LayerFeatures, UsageError
from xtool_clip.encoder import ClipEncoder
from xtool_clip.features import ClassAttention, Keys, Queries, Values

EXTRACTORS = [LayerFeatures, ClassAttention, Queries, Keys, Values]


def blocks(encoder: ClipEncoder) -> Any:
    return encoder.visual.transformer.resblocks  # type: ignore[union-attr]


@contextmanager
def recorded(module: nn.Module) -> Iterator[list[tuple[Any, Any]]]:
    """Inputs and outputs of a module while open."""
    calls: list[tuple[Any, Any]] = []
    handle = module.register_forward_hook(lambda _, args, output: calls.append((args[0], output)))
    yield calls
    handle.remove()


@torch.no_grad()
def attention_input(encoder: ClipEncoder, pixels: Tensor, index: int) -> Tensor:
    with recorded(blocks(encoder)[index].ln_1) as calls:
        encoder.encode_image(pixels)
    return calls[0][1]


@pytest.mark.parametrize("index", [0, 2])
@torch.no_grad()
def test_tokens_are_the_block_output_without_its_class_token(wide_vit: ClipEncoder, index: int) -> None:
    pixels = noise(wide_vit)
    with recorded(blocks(wide_vit)[index]) as calls:
        wide_vit.encode_image(pixels)
    patches = calls[0][1][:, 1:]
    maps = LayerFeatures(f"blocks.{index}").extract(wide_vit, pixels).maps
    assert maps.shape == (2, 48, 2, 5)
    for row in range(2):
        for column in range(5):
            assert torch.equal(maps[:, :, row, column], patches[:, row * 5 + column])


@pytest.mark.parametrize("index", [0, 1, 2])
@torch.no_grad()
def test_attention_is_what_multihead_attention_itself_reports(wide_vit: ClipEncoder, index: int) -> None:
    pixels = noise(wide_vit)
    tokens = attention_input(wide_vit, pixels, index)
    _, weights = blocks(wide_vit)[index].attn(tokens, tokens, tokens, need_weights=True, average_attn_weights=False)
    maps = ClassAttention(f"blocks.{index}").extract(wide_vit, pixels).maps
    assert maps.shape == (2, 3, 2, 5)
    torch.testing.assert_close(maps, weights[:, :, 0, 1:].reshape(2, 3, 2, 5))


@torch.no_grad()
def test_queries_keys_and_values_are_the_block_weights_times_its_normed_input(wide_vit: ClipEncoder) -> None:
    pixels = noise(wide_vit)
    tokens = attention_input(wide_vit, pixels, 1)
    layer = blocks(wide_vit)[1].attn
    layer.in_proj_bias.copy_(torch.linspace(-1, 1, len(layer.in_proj_bias)))  # open_clip starts it at zero
    for place, extractor in enumerate([Queries, Keys, Values]):
        rows = slice(48 * place, 48 * (place + 1))
        expected = torch.einsum("btw,cw->bct", tokens, layer.in_proj_weight[rows])
        expected = expected + layer.in_proj_bias[rows][None, :, None]
        maps = extractor("blocks.1").extract(wide_vit, pixels).maps
        torch.testing.assert_close(maps, expected[:, :, 1:].reshape(2, 48, 2, 5))
    layer.in_proj_bias.zero_()


@pytest.mark.parametrize("extractor", [LayerFeatures, Queries, Keys, Values])
@pytest.mark.parametrize("place", [(0, 3), (1, 1)])
@torch.no_grad()
def test_a_bright_patch_shows_at_its_own_row_and_column(
    wide_vit: ClipEncoder, extractor: Any, place: tuple[int, int]
) -> None:
    row, column = place
    dark = torch.zeros(1, 3, 16, 40)
    bright = dark.clone()
    bright[:, :, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8] = 8.0
    change = extractor("blocks.0").extract(wide_vit, bright).maps - extractor("blocks.0").extract(wide_vit, dark).maps
    energy = change.square().sum(1)[0]
    assert divmod(int(energy.argmax()), 5) == place


@pytest.mark.parametrize("extractor", EXTRACTORS)
@torch.inference_mode()
def test_the_embedding_comes_from_the_same_single_pass(vit: ClipEncoder, extractor: Any) -> None:
    pixels = noise(vit)
    expected = vit.encode_image(pixels)
    with recorded(vit.visual.conv1) as passes:  # type: ignore[arg-type]
        features = extractor().extract(vit, pixels)
    assert len(passes) == 1
    torch.testing.assert_close(features.embedding, expected)
    torch.testing.assert_close(features.embedding.norm(dim=-1), torch.ones(2))
    assert features.maps.dtype == torch.float32


@pytest.mark.parametrize("extractor", EXTRACTORS)
def test_maps_stay_on_the_graph_when_pixels_ask_for_gradients(vit: ClipEncoder, extractor: Any) -> None:
    pixels = noise(vit).requires_grad_()
    maps = extractor("blocks.1").extract(vit, pixels).maps
    (gradient,) = torch.autograd.grad(maps.square().sum(), pixels)
    assert gradient.abs().sum() > 0


@pytest.mark.parametrize("extractor", EXTRACTORS)
@torch.inference_mode()
def test_the_layout_of_the_token_axis_does_not_matter(build: Build, extractor: Any) -> None:
    usual, length_first = build(VIT), build(VIT)
    length_first.visual.transformer.batch_first = False  # type: ignore[union-attr]
    for block in blocks(length_first):
        block.attn.batch_first = False
    pixels = noise(usual)
    expected, features = extractor().extract(usual, pixels), extractor().extract(length_first, pixels)
    torch.testing.assert_close(features.maps, expected.maps)
    torch.testing.assert_close(features.embedding, expected.embedding)


@torch.no_grad()
def test_open_clips_own_attention_with_query_and_key_norms_is_read_right(build: Build) -> None:
    encoder = build({**VIT, "qk_norm": True})
    layer, pixels = blocks(encoder)[2].attn, noise(encoder)
    assert type(layer).__name__ == "Attention"
    layer.ln_q.weight.mul_(3.0)
    tokens = attention_input(encoder, pixels, 2)
    parts = (tokens @ layer.in_proj_weight.T).reshape(2, 17, 3, 3, 16)
    queries, keys = layer.ln_q(parts[:, :, 0]), layer.ln_k(parts[:, :, 1])
    weights = torch.einsum("bhc,bthc->bht", queries[:, 0], keys).div(4.0).softmax(-1)
    maps = ClassAttention().extract(encoder, pixels).maps
    torch.testing.assert_close(maps, weights[:, :, 1:].reshape(2, 3, 4, 4))


@torch.no_grad()
def test_patch_dropout_is_off(build: Build) -> None:
    encoder = build({**VIT, "patch_dropout": 0.5})
    pixels = noise(encoder)
    first, second = Values().extract(encoder, pixels), Values().extract(encoder, pixels)
    assert first.maps.shape == (2, 48, 4, 4)
    assert torch.equal(first.maps, second.maps)


@torch.inference_mode()
def test_siglip_like_towers_give_tokens_and_values_and_refuse_class_attention(build: Build) -> None:
    vision = {"timm_model_name": "vit_tiny_patch16_224", "timm_pool": "map", "timm_proj": "none", "image_size": 224}
    text = {"no_causal_mask": True, "pool_type": "last", "proj_bias": True}
    siglip = build(vision, text=text, embed_dim=192)
    pixels = noise(siglip, batch=1)
    expected = siglip.encode_image(pixels)
    for extractor in (LayerFeatures, Values):
        features = extractor().extract(siglip, pixels)
        assert features.maps.shape == (1, 192, 14, 14)
        torch.testing.assert_close(features.embedding, expected)
    with pytest.raises(UsageError, match="class token's"):
        ClassAttention().extract(siglip, pixels)


@torch.inference_mode()
def test_a_timm_vit_with_a_class_token_gives_its_own_attention(build: Build) -> None:
    encoder = build({"timm_model_name": "vit_tiny_patch16_224", "timm_pool": "token", "image_size": 224})
    pixels = noise(encoder, batch=1)
    layer = encoder.visual.trunk.blocks[-1].attn  # type: ignore[union-attr, index]
    with recorded(layer) as calls:
        encoder.encode_image(pixels)
    queries, keys, _ = layer.qkv(calls[0][0]).reshape(197, 3, 3, 64).permute(1, 2, 0, 3)
    weights = (queries[:, :1] @ keys.transpose(1, 2) / 8.0).softmax(-1)
    maps = ClassAttention().extract(encoder, pixels).maps
    torch.testing.assert_close(maps[0], weights[:, 0, 1:].reshape(3, 14, 14))


@pytest.mark.parametrize(
    ("vision", "reason"), [({"pool_type": "avg"}, "their mean"), ({"attentional_pool": True}, "their attention")]
)
def test_class_attention_is_refused_where_the_class_token_is_not_the_embedding(
    build: Build, vision: dict[str, Any], reason: str
) -> None:
    encoder = build({**VIT, **vision}, embed_dim=32)
    with pytest.raises(UsageError, match=reason):
        ClassAttention().extract(encoder, noise(encoder))


@pytest.mark.parametrize("extractor", [ClassAttention, Queries, Keys, Values])
def test_a_cnn_is_refused_in_words(cnn: ClipEncoder, extractor: Any) -> None:
    with pytest.raises(UsageError, match="layer4 is not a transformer block"):
        extractor().extract(cnn, noise(cnn))


@pytest.mark.parametrize("extractor", EXTRACTORS)
def test_the_model_is_left_as_found_even_after_an_exception(vit: ClipEncoder, extractor: Any) -> None:
    state = {name: tensor.clone() for name, tensor in vit.model.state_dict().items()}
    flags = [part.training for part in vit.model.modules()]
    gradients = [parameter.requires_grad for parameter in vit.model.parameters()]
    hooks = hooks_in(vit.model)
    extractor().extract(vit, noise(vit))

    def fail(*_: Any) -> None:
        raise RuntimeError("in the middle of the pass")

    handle = blocks(vit)[2].mlp.register_forward_hook(fail)
    with pytest.raises(RuntimeError, match="in the middle"):
        extractor().extract(vit, noise(vit))
    handle.remove()
    assert hooks_in(vit.model) == hooks
    assert [part.training for part in vit.model.modules()] == flags
    assert [parameter.requires_grad for parameter in vit.model.parameters()] == gradients
    assert all(torch.equal(tensor, state[name]) for name, tensor in vit.model.state_dict().items())


@torch.inference_mode()
def test_vit_b_16_gives_its_12_heads_on_14_by_14_patches(vit_b_16: ClipEncoder) -> None:
    pixels = noise(vit_b_16, batch=1)
    assert LayerFeatures().extract(vit_b_16, pixels).maps.shape == (1, 768, 14, 14)
    attention = ClassAttention().extract(vit_b_16, pixels)
    assert attention.maps.shape == (1, 12, 14, 14)
    assert (attention.maps.sum((-2, -1)) < 1).all()
    torch.testing.assert_close(attention.embedding, vit_b_16.encode_image(pixels))


@torch.inference_mode()
def test_a_384_pixel_model_has_its_own_grid(build: Build) -> None:
    large = build({**VIT, "image_size": 384, "patch_size": 16})
    assert Keys().extract(large, noise(large, batch=1)).maps.shape == (1, 48, 24, 24)
