"""The layers that an encoder describes, on every kind of tower: against open_clip's own intermediates and modules."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from clip_testing import CNNS, VIT, VITS, Build, hooks_in, noise, timm_tower
from timm.layers.attention import Attention, AttentionRope
from timm.models.eva import EvaAttention, EvaBlock, EvaBlockPostNorm
from torch import Tensor, nn
from torch.nn import functional as F

from xtool.plugin import TokenGrid, UsageError, read_maps, read_stream
from xtool_clip.attention import read_attention
from xtool_clip.encoder import ClipEncoder
from xtool_clip.layers import read_block
from xtool_clip.towers import describe

every_tower = pytest.mark.parametrize("tower", [*CNNS, *VITS], indirect=True)
every_vit = pytest.mark.parametrize("tower", VITS, indirect=True)


@every_tower
@torch.no_grad()
def test_each_layer_is_what_open_clips_own_call_gives_for_it(tower: ClipEncoder) -> None:
    pixels = noise(tower)
    forward: Any = tower.visual.forward_intermediates
    expected = forward(pixels, output_fmt="NCHW")["image_intermediates"]
    assert len(expected) == len(tower.info.layers)
    hooks = hooks_in(tower.model)
    for name, maps in zip(tower.info.layers, expected, strict=True):
        found = read_maps(tower, pixels, tower.layer(name))
        torch.testing.assert_close(found.maps, maps)
        torch.testing.assert_close(found.embedding, tower.encode_image(pixels))
    assert hooks_in(tower.model) == hooks


@every_tower
@torch.no_grad()
def test_maps_can_be_put_back_and_channels_written_to(tower: ClipEncoder) -> None:
    layer = tower.layer("auto")
    outputs: list[Tensor] = []
    handle = layer.module.register_forward_hook(lambda _m, _i, output: outputs.append(output))
    tower.encode_image(noise(tower))
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


@every_tower
def test_gradients_reach_every_place_of_the_gradient_layer_and_of_no_deeper_one(tower: ClipEncoder) -> None:
    name = tower.info.gradient_layer or tower.info.default_layer
    assert _places_with_gradient(tower, name).all()
    if tower.info.gradient_layer is not None:
        assert not _places_with_gradient(tower, tower.info.layers[-1]).any()


def _places_with_gradient(encoder: ClipEncoder, name: str) -> Tensor:
    layer, seen = encoder.layer(name), []

    def cut(_m: Any, _i: Any, output: Tensor) -> Tensor:
        seen.append(output.detach().requires_grad_())
        return seen[0].clone()

    handle = layer.module.register_forward_hook(cut)
    score = encoder.encode_image(noise(encoder, batch=1))[:, 0].sum()
    handle.remove()
    return layer.maps(torch.autograd.grad(score, seen[0])[0]).abs().sum(dim=1) > 0


@every_vit
@torch.no_grad()
def test_a_block_is_the_sum_of_its_parts(tower: ClipEncoder) -> None:
    """Norm, heads, merge, residual and feed-forward give what the block itself gives: nothing is left out."""
    block = tower.layer("blocks.1").block
    calls: dict[str, Any] = {}
    handles = [
        block.module.register_forward_hook(lambda _m, args, out: calls.update(given=args[0], gives=out)),
        block.attention.module.register_forward_pre_hook(
            lambda _m, args, kwargs: calls.update(args=args, kwargs=kwargs), with_kwargs=True
        ),
    ]
    tower.encode_image(noise(tower))
    for handle in handles:
        handle.remove()
    tokens, rotation = block.attention.arguments(*calls["args"], **calls["kwargs"])
    torch.testing.assert_close(block.norm(calls["given"]), tokens)
    heads = block.attention.project(tokens, rotation)
    attended = block.attention.merge(block.attention.weights(heads) @ heads.values, heads)
    between = calls["given"] + block.residual(attended)
    torch.testing.assert_close(between + block.feed_forward(between), calls["gives"], rtol=1e-4, atol=1e-4)


@every_vit
@torch.no_grad()
def test_pooling_the_last_tokens_gives_the_embedding(tower: ClipEncoder) -> None:
    pixels = noise(tower)
    layer, outputs = tower.layer("auto"), []
    handle = layer.module.register_forward_hook(lambda _m, _i, output: outputs.append(output))
    expected = tower.encode_image(pixels)
    handle.remove()
    tokens, pooling = outputs[0], layer.pooling
    torch.testing.assert_close(F.normalize(pooling.embed(tokens), dim=1), expected, rtol=1e-4, atol=1e-5)
    shares, each = pooling.shares(tokens), pooling.embed_each(tokens)
    torch.testing.assert_close(pooling.embed_shared(tokens, shares), pooling.embed(tokens), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(shares.sum(dim=2), torch.ones(shares.shape[:2]))
    assert shares.shape[2] == tokens.shape[1]
    assert each.shape == (2, tokens.shape[1], tower.info.embed_dim)
    if pooling.kind == "class token":
        torch.testing.assert_close(each[:, 0], pooling.embed(tokens), rtol=1e-4, atol=1e-5)
    else:  # of tokens that are all alike, the pool takes what each would give alone
        alike = tokens[:, 3:4].expand_as(tokens)
        torch.testing.assert_close(each[:, 3], pooling.embed(alike), rtol=1e-4, atol=1e-5)


@every_vit
@torch.no_grad()
def test_from_the_tokens_of_any_block_on_the_tower_can_be_run_again(tower: ClipEncoder) -> None:
    pixels, hooks = noise(tower), hooks_in(tower.model)
    stream = read_stream(tower, pixels)
    assert hooks_in(tower.model) == hooks
    assert len(stream.tokens) == len(tower.info.layers) + 1
    tokens = stream.tokens[0]
    for index, block in enumerate(stream.blocks):
        heads = stream.heads(index, tokens)
        tokens = block.output(tokens, heads, block.attention.weights(heads) @ heads.values)
        torch.testing.assert_close(tokens, stream.tokens[index + 1], rtol=1e-4, atol=1e-4)
        maps = read_maps(tower, pixels, tower.layer(f"blocks.{index}")).maps
        torch.testing.assert_close(stream.patches(tokens.transpose(1, 2)), maps, rtol=1e-4, atol=1e-4)
    expected = tower.encode_image(pixels)
    torch.testing.assert_close(stream.embedding, expected)
    torch.testing.assert_close(F.normalize(stream.pooling.embed(tokens), dim=1), expected, rtol=1e-4, atol=1e-4)


def test_a_cnn_has_no_stream_of_tokens(cnn: ClipEncoder) -> None:
    with pytest.raises(UsageError, match="is a cnn, which has no transformer blocks"):
        read_stream(cnn, noise(cnn))


@pytest.mark.parametrize("tower", ["SigLIP", "CoCa"], indirect=True)
def test_an_attention_pool_takes_of_each_token_by_its_share(tower: ClipEncoder) -> None:
    """Copies of a token share what it alone would get: so the shares are those of the softmax over tokens."""
    layer = tower.layer("auto")
    grid: Any = layer.layout
    tokens = torch.randn(1, grid.tokens, layer.block.norm.normalized_shape[0])  # type: ignore[attr-defined]
    copied = tokens.clone()
    copied[:, 5] = tokens[:, 4]
    with torch.no_grad():
        shares = layer.pooling.shares(copied)
    torch.testing.assert_close(shares[:, :, 4], shares[:, :, 5])
    assert not torch.allclose(shares[:, :, 3], shares[:, :, 4])


@pytest.mark.parametrize(
    "attention",
    [
        EvaAttention(24, 3, qkv_fused=True, norm_layer=nn.LayerNorm),
        EvaAttention(24, 3, qkv_fused=True, qk_norm=True, scale_norm=False, norm_layer=nn.LayerNorm),
        EvaAttention(24, 3, qkv_fused=False, norm_layer=nn.LayerNorm, rotate_half=True),
        AttentionRope(24, 6, qkv_fused=False, num_kv_heads=2),
        AttentionRope(24, 3, gated=True, scale_norm=True, norm_layer=nn.LayerNorm),
        Attention(24, 3, qkv_bias=True, qk_norm=True, scale_norm=True, gated=True, norm_layer=nn.LayerNorm),
    ],
    ids=["fused", "per-head norms", "half rotation", "grouped", "gated", "plain"],
)
@torch.no_grad()
def test_each_of_timms_attention_layers_is_put_together_again(attention: Any) -> None:
    for parameter in attention.parameters():
        nn.init.normal_(parameter, std=0.3)
    tokens = torch.randn(2, 7, 24)
    rope = None if type(attention) is Attention else torch.randn(6, 2 * attention.head_dim)
    read = read_attention(attention.eval(), TokenGrid(2, 3, 1), "x")
    given = (tokens,) if rope is None else (tokens, rope)
    heads = read.project(*read.arguments(*given))
    torch.testing.assert_close(
        read.merge(read.weights(heads) @ heads.values, heads), attention(*given), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("kind", [EvaBlock, EvaBlockPostNorm])
@torch.no_grad()
def test_blocks_with_the_norm_before_or_after(kind: Any) -> None:
    block = kind(24, 3, init_values=0.3).eval()
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.3)
    read, tokens = read_block(block, TokenGrid(2, 3, 1), "x"), torch.randn(2, 7, 24)
    heads = read.attention.project(read.norm(tokens), None)
    between = tokens + read.residual(read.attention.merge(read.attention.weights(heads) @ heads.values, heads))
    torch.testing.assert_close(between + read.feed_forward(between), block(tokens), rtol=1e-4, atol=1e-5)


def test_attention_of_another_kind_is_refused_in_words(build: Build) -> None:
    relative = build(timm_tower("vit_relpos_small_patch16_224", 224, "avg"))
    with pytest.raises(UsageError, match="RelPosBlock"):
        _ = relative.layer("auto").block
    assert read_maps(relative, noise(relative, batch=1), relative.layer("auto")).maps.shape == (1, 384, 14, 14)


def test_pooling_of_another_kind_is_refused_in_words(build: Build) -> None:
    cascade = build({**VIT, "attentional_pool": "cascade", "attn_pooler_heads": 4}, embed_dim=32)
    with pytest.raises(UsageError, match=r"two attention layers \(cascade\)"):
        _ = cascade.layer("auto").pooling


def test_a_cnn_has_neither_block_nor_pooling_of_tokens(cnn: ClipEncoder) -> None:
    with pytest.raises(UsageError, match="layer4 is not a transformer block"):
        _ = cnn.layer("layer4").block
    with pytest.raises(UsageError, match="does not belong to a transformer"):
        _ = cnn.layer("layer4").pooling


@pytest.mark.parametrize(("name", "told"), [("blocks.3", "did you mean blocks"), ("xyz", "it has: blocks.0, blocks.1")])
def test_an_unknown_layer_is_refused_with_the_nearest(vit: ClipEncoder, name: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        vit.layer(name)


def test_only_a_tower_with_a_class_token_has_a_gradient_layer_of_its_own(vit: ClipEncoder, build: Build) -> None:
    assert describe(vit.visual).gradient_layer == "blocks.2.ln_1"
    assert describe(build({**VIT, "pool_type": "avg"}).visual).gradient_layer is None
