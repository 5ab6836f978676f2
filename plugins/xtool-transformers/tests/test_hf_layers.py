"""The layers that the encoders describe: against transformers' own hidden states, attention and heads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hf_testing import hooks_in, noise, open_model
from torch import Tensor
from torch.nn import functional as F
from transformers import AttentionInterface
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from xtool.loading import TextCache
from xtool.plugin import UsageError, read_heads, read_maps, read_stream
from xtool_transformers.encoder import TransformersEncoder

Saved = Callable[[str], tuple[Path, Any]]
Opened = Callable[[str], TransformersEncoder]


@torch.no_grad()
def test_each_block_is_what_transformers_lists_as_a_hidden_state(
    transformer: str, saved: Saved, opened: Opened
) -> None:
    encoder = opened(transformer)
    pixels, hooks = noise(encoder), hooks_in(encoder.model)
    states = saved(transformer)[1].vision_model(pixels, output_hidden_states=True).hidden_states
    assert len(states) == len(encoder.info.layers) + 1
    for name, state in zip(encoder.info.layers, states[1:], strict=True):
        found = read_maps(encoder, pixels, encoder.layer(name))
        patches = state[:, -16:]  # those of the 4×4 grid come last, row by row
        torch.testing.assert_close(found.maps, patches.unflatten(1, (4, 4)).permute(0, 3, 1, 2))
        torch.testing.assert_close(found.embedding, encoder.encode_image(pixels))
    assert hooks_in(encoder.model) == hooks


@torch.no_grad()
def test_aligns_last_stage_is_what_it_pools_and_each_is_smaller_than_the_one_before(
    saved: Saved, opened: Opened
) -> None:
    encoder = opened("align")
    pixels = noise(encoder)
    maps = [read_maps(encoder, pixels, encoder.layer(name)).maps for name in encoder.info.layers]
    torch.testing.assert_close(maps[-1], saved("align")[1].vision_model(pixels).last_hidden_state)
    assert [tuple(each.shape[1:]) for each in maps] == [(8, 32, 32), (8, 16, 16), (24, 8, 8)]


@torch.no_grad()
def test_groupvits_layers_are_the_patches_of_its_first_stage_without_the_groups(saved: Saved, opened: Opened) -> None:
    encoder = opened("groupvit")
    pixels, seen = noise(encoder), []
    stage = saved("groupvit")[1].vision_model.encoder.stages[0]
    handle = stage.layers[1].register_forward_hook(lambda _m, _i, output: seen.append(output))
    saved("groupvit")[1].get_image_features(pixels)
    handle.remove()
    layer = encoder.layer("auto")
    assert layer.name == "blocks.1"
    patches = stage.split_x(seen[0])[0]
    found = read_maps(encoder, pixels, layer).maps
    torch.testing.assert_close(found, patches.unflatten(1, (4, 4)).permute(0, 3, 1, 2))
    assert layer.prefix(seen[0]).shape == (2, 6, 48)
    with pytest.raises(UsageError, match="puts its tokens into groups"):
        _ = layer.block
    with pytest.raises(UsageError, match="patch tokens and others are expected"):
        layer.maps(seen[0][:, :5])


@torch.no_grad()
def test_maps_can_be_put_back_and_channels_written_to(family: str, opened: Opened) -> None:
    encoder, outputs = opened(family), []
    layer = encoder.layer("auto")
    handle = layer.module.register_forward_hook(lambda _m, _i, output: outputs.append(output))
    encoder.encode_image(noise(encoder))
    handle.remove()
    (output,) = outputs
    assert torch.equal(layer.restored(layer.maps(output), output), output)
    doubled = layer.restored(2 * layer.maps(output), output)
    assert torch.equal(layer.maps(doubled), 2 * layer.maps(output))
    assert torch.equal(layer.prefix(doubled), layer.prefix(output))
    layer.channels(output)[:, 1] = 7.0
    assert (layer.maps(output)[:, 1] == 7).all()
    assert (layer.prefix(output)[:, :, 1] == 7).all()
    assert not (layer.maps(output)[:, 0] == 7).any()


def test_gradients_reach_every_place_of_the_gradient_layer_and_of_no_deeper_one(family: str, opened: Opened) -> None:
    encoder = opened(family)
    assert _places_with_gradient(encoder, encoder.info.gradient_layer or encoder.info.default_layer).all()
    if encoder.info.gradient_layer is not None:
        assert not _places_with_gradient(encoder, encoder.info.layers[-1]).any()


def _places_with_gradient(encoder: TransformersEncoder, name: str) -> Tensor:
    layer, seen = encoder.layer(name), []

    def cut(_m: Any, _i: Any, output: Tensor) -> Tensor:
        seen.append(output.detach().requires_grad_())
        return seen[0].clone()

    handle = layer.module.register_forward_hook(cut)
    score = encoder.encode_image(noise(encoder, batch=1))[:, 0].sum()
    handle.remove()
    return layer.maps(torch.autograd.grad(score, seen[0])[0]).abs().sum(dim=1) > 0


@torch.no_grad()
def test_attention_is_what_transformers_own_eager_attention_returns(
    transformer: str, saved: Saved, opened: Opened
) -> None:
    """The encoder runs fused attention, which returns none, and does not depend on ``output_attentions``."""
    encoder = opened(transformer)
    folder, model = saved(transformer)
    eager = type(model).from_pretrained(folder, attn_implementation="eager").eval()
    pixels = noise(encoder)
    expected = eager.vision_model(pixels, output_attentions=True).attentions
    stream = read_stream(encoder, pixels)
    assert len(expected) == len(stream.blocks)
    for index, weights in enumerate(expected):
        torch.testing.assert_close(stream.attention(index), weights, rtol=1e-4, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_heads_are_those_that_a_registered_attention_is_given(kind: str, saved: Saved, opened: Opened) -> None:
    """transformers' own interface shows the same queries, keys and values, and needs no ``output_attentions``."""
    seen: list[tuple[Tensor, Tensor, Tensor]] = []

    def watching(module: Any, query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any) -> Any:
        seen.append((query, key, value))
        return ALL_ATTENTION_FUNCTIONS["sdpa"](module, query, key, value, *args, **kwargs)

    encoder = opened(kind)
    pixels = noise(encoder)
    folder, model = saved(kind)
    AttentionInterface.register("xtool_test", watching)
    watched = type(model).from_pretrained(folder).eval()
    watched.vision_model.set_attn_implementation("xtool_test")  # of the image tower alone: texts keep their mask
    features = F.normalize(watched.get_image_features(pixels).pooler_output, dim=1)
    torch.testing.assert_close(features, encoder.encode_image(pixels), rtol=0, atol=1e-5)
    assert len(seen) == len(encoder.info.layers)
    for name, (query, key, value) in zip(encoder.info.layers, seen, strict=True):
        heads, _ = read_heads(encoder, pixels, encoder.layer(name))
        torch.testing.assert_close(heads.queries, query, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(heads.keys, key, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(heads.values, value, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_texts_are_embedded_alike_before_while_and_after_an_image_is_taken_apart(
    family: str, saved: Saved, opened: Opened
) -> None:
    """Nothing is installed that a text tower could meet: its causal mask, where it has one, stays."""
    registered = set(ALL_ATTENTION_FUNCTIONS.valid_keys())
    first = opened(family).encode_text(["a dog . red"])
    encoder = open_model(saved(family)[0])
    implementation = encoder.model.config._attn_implementation
    during: list[Tensor] = []

    def embed(*_: Any) -> None:
        during.append(encoder.encode_text(["a dog . red"]))

    layer = encoder.layer("auto")
    handle = layer.module.register_forward_hook(embed)
    if family in ("align", "groupvit"):
        read_maps(encoder, noise(encoder), layer)
    else:
        read_stream(encoder, noise(encoder))
        read_heads(encoder, noise(encoder), layer)
        encoder.encode_pooled(noise(encoder), torch.ones(2, 1, 4, 4))
    handle.remove()
    encoder._texts = TextCache(encoder.info.embed_dim, encoder.device)  # an empty one
    for text in (*during, encoder.encode_text(["a dog . red"])):
        torch.testing.assert_close(text, first, rtol=0, atol=1e-6)
    assert encoder.model.config._attn_implementation == implementation
    assert set(ALL_ATTENTION_FUNCTIONS.valid_keys()) == registered


@torch.no_grad()
def test_a_block_is_the_sum_of_its_parts(transformer: str, opened: Opened) -> None:
    """Norm, heads, merge, residual and feed-forward give what the block itself gives: nothing is left out."""
    tower = opened(transformer)
    block = tower.layer("blocks.1").block
    calls: dict[str, Any] = {}
    handle = block.module.register_forward_hook(lambda _m, args, out: calls.update(given=args[0], gives=out))
    heads, _ = read_heads(tower, noise(tower), tower.layer("blocks.1"))
    handle.remove()
    torch.testing.assert_close(block.norm(calls["given"]), heads.tokens)
    found = block.output(calls["given"], heads, block.attention.weights(heads) @ heads.values)
    torch.testing.assert_close(found, calls["gives"], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_pooling_the_last_tokens_gives_the_embedding(transformer: str, opened: Opened) -> None:
    encoder, outputs = opened(transformer), []
    layer, pixels = encoder.layer("auto"), noise(encoder)
    handle = layer.module.register_forward_hook(lambda _m, _i, output: outputs.append(output))
    expected = encoder.encode_image(pixels)
    handle.remove()
    tokens, pooling = outputs[0], layer.pooling
    assert pooling.kind == ("attention" if transformer == "siglip" else "class token")
    torch.testing.assert_close(F.normalize(pooling.embed(tokens), dim=1), expected, rtol=1e-4, atol=1e-5)
    shares, each = pooling.shares(tokens), pooling.embed_each(tokens)
    torch.testing.assert_close(pooling.embed_shared(tokens, shares), pooling.embed(tokens), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(shares.sum(dim=2), torch.ones(shares.shape[:2]))
    assert shares.shape[2] == tokens.shape[1]
    assert each.shape == (2, tokens.shape[1], encoder.info.embed_dim)
    if pooling.kind == "class token":
        torch.testing.assert_close(each[:, 0], pooling.embed(tokens), rtol=1e-4, atol=1e-5)
    else:  # of tokens that are all alike, the pool takes what each would give alone
        alike = tokens[:, 3:4].expand_as(tokens)
        torch.testing.assert_close(each[:, 3], pooling.embed(alike), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_siglips_shares_are_the_weights_of_pytorchs_own_attention(saved: Saved, opened: Opened) -> None:
    model, layer = saved("siglip")[1], opened("siglip").layer("auto")
    tokens = torch.randn(2, 16, 48, generator=torch.Generator().manual_seed(3))
    keys, head = model.vision_model.post_layernorm(tokens), model.vision_model.head
    weights = head.attention(head.probe.expand(2, -1, -1), keys, keys, average_attn_weights=False)[1]
    torch.testing.assert_close(layer.pooling.shares(tokens), weights[:, :, 0], rtol=1e-4, atol=1e-6)


@torch.no_grad()
def test_from_the_tokens_of_any_block_on_the_tower_can_be_run_again(transformer: str, opened: Opened) -> None:
    encoder = opened(transformer)
    pixels, hooks = noise(encoder), hooks_in(encoder.model)
    stream = read_stream(encoder, pixels)
    assert hooks_in(encoder.model) == hooks
    tokens = stream.tokens[0]
    for index, block in enumerate(stream.blocks):
        heads = stream.heads(index, tokens)
        tokens = block.output(tokens, heads, block.attention.weights(heads) @ heads.values)
        torch.testing.assert_close(tokens, stream.tokens[index + 1], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(
        F.normalize(stream.pooling.embed(tokens), dim=1), encoder.encode_image(pixels), rtol=1e-4, atol=1e-4
    )


def test_the_grid_of_a_picture_that_is_not_square_has_its_rows_and_columns(saved: Saved) -> None:
    from xtool_transformers.transformer import SiglipTower

    model = saved("siglip")[1]
    tower = SiglipTower(model.vision_model, (16, 40))
    assert (tower.grid.height, tower.grid.width) == (2, 5)
    with torch.no_grad():
        expected = model.vision_model(torch.ones(1, 3, 16, 40), interpolate_pos_encoding=True).pooler_output
        torch.testing.assert_close(tower(torch.ones(1, 3, 16, 40)), expected)


@pytest.mark.parametrize(
    ("kind", "name", "told"),
    [
        ("clip", "blocks.3", "did you mean blocks"),
        ("align", "xyz", "it has: stages.0, stages.1"),
        ("groupvit", "blocks.2", "did you mean blocks.1"),
    ],
)
def test_an_unknown_layer_is_refused_with_the_nearest(kind: str, name: str, told: str, opened: Opened) -> None:
    with pytest.raises(UsageError, match=told):
        opened(kind).layer(name)


def test_a_cnn_has_neither_block_nor_pooling_of_tokens(opened: Opened) -> None:
    with pytest.raises(UsageError, match=r"stages.2 is not a transformer block"):
        _ = opened("align").layer("auto").block
    with pytest.raises(UsageError, match="is a cnn, which has no transformer blocks"):
        read_stream(opened("align"), noise(opened("align")))


@torch.no_grad()
def test_what_is_used_of_transformers_is_as_it_was_read(saved: Saved) -> None:
    """The contract: if one of these changes, so must this plugin."""
    clip, siglip, blip = (saved(kind)[1] for kind in ("clip", "siglip", "blip"))
    pixels = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    for model in (clip, siglip, blip):
        calls: list[tuple[Any, ...]] = []
        block = model.vision_model.encoder.layers[-1]
        handle = block.register_forward_hook(lambda _m, args, output, calls=calls: calls.append((args, output)))
        seen = model.vision_model(pixels)
        handle.remove()
        ((given, output),) = calls
        assert isinstance(given[0], Tensor)  # tokens come as the first argument, by position
        assert isinstance(output, Tensor)  # and leave bare, not in a tuple
        norm, last = model.vision_model.post_layernorm, seen.last_hidden_state
        if model is clip:  # before the last norm, which only the class token goes through
            assert torch.equal(last, output)
            torch.testing.assert_close(seen.pooler_output, norm(last[:, 0]))
        elif model is siglip:
            torch.testing.assert_close(last, norm(output))
        else:  # and the pooled token of BLIP twice, which its contrastive half does not use
            torch.testing.assert_close(last, norm(output))
            torch.testing.assert_close(seen.pooler_output, norm(norm(output[:, 0])))
    assert type(siglip.vision_model.head.attention) is torch.nn.MultiheadAttention
    assert siglip.vision_model.head.attention.batch_first
    assert clip.config._attn_implementation == "sdpa"
