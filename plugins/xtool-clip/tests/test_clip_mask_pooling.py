"""Masks where the tower pools: against the tower's own modules under the attention masks of PyTorch and timm."""

from __future__ import annotations

from typing import Any, cast

import pytest
import torch
from clip_testing import CNNS, VIT, VITS, Build, hooks_in, noise, timm_tower
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor
from torch.nn import functional as F

from xtool.engine import readers
from xtool.plugin import UsageError
from xtool_clip.encoder import ClipEncoder

every_tower = pytest.mark.parametrize("tower", [*CNNS, *VITS], indirect=True)


def last_output(encoder: ClipEncoder, pixels: Tensor) -> Tensor:
    outputs: list[Tensor] = []
    handle = encoder.layer("auto").module.register_forward_hook(lambda _m, _i, output: outputs.append(output))
    encoder.encode_image(pixels)
    handle.remove()
    return outputs[0]


def some_masks(encoder: ClipEncoder, count: int = 3) -> Tensor:
    """Random soft masks [2, count, h, w] of the last layer's size, with true zeros in them."""
    with torch.no_grad():
        size = encoder.layer("auto").maps(last_output(encoder, noise(encoder))).shape[-2:]
    generator = torch.Generator().manual_seed(1)
    return (1.4 * torch.rand(2, count, *size, generator=generator) - 0.4).clamp(0, 1)


@every_tower
@torch.no_grad()
def test_a_mask_of_ones_leaves_the_embedding_as_it_is_and_no_trace(tower: ClipEncoder) -> None:
    assert tower.info.pools_masks
    pixels, hooks = noise(tower), hooks_in(tower.model)
    found = tower.encode_pooled(pixels, torch.ones(2, 2, 5, 7))
    torch.testing.assert_close(found[:, 1], tower.encode_image(pixels), atol=1e-5, rtol=0)
    assert hooks_in(tower.model) == hooks
    with torch.inference_mode():
        assert torch.equal(tower.encode_pooled(pixels, torch.ones(2, 2, 5, 7)), found)


@every_tower
@torch.no_grad()
def test_under_a_mask_of_zeros_nothing_of_the_image_is_left(tower: ClipEncoder) -> None:
    found = tower.encode_pooled(noise(tower), torch.zeros(2, 1, 3, 3))
    torch.testing.assert_close(found[0], found[1], atol=1e-6, rtol=0)
    assert found.isfinite().all()
    assert not torch.allclose(found[0, 0], tower.encode_image(noise(tower))[0], atol=1e-3)


@every_tower
@torch.no_grad()
def test_an_embedding_does_not_depend_on_the_other_masks_and_images(tower: ClipEncoder) -> None:
    pixels, masks = noise(tower), some_masks(tower)
    alone = tower.encode_pooled(pixels[1:], masks[1:, 2:])
    torch.testing.assert_close(tower.encode_pooled(pixels, masks)[1, 2], alone[0, 0], atol=1e-5, rtol=0)


@torch.no_grad()
def test_readers_in_small_portions_are_the_readers_all_at_once(vit: ClipEncoder, monkeypatch: Any) -> None:
    pixels, masks = noise(vit), some_masks(vit, 7)
    whole = vit.encode_pooled(pixels, masks)
    monkeypatch.setitem(readers.READERS, "cpu", 4)
    torch.testing.assert_close(vit.encode_pooled(pixels, masks), whole, atol=1e-6, rtol=0)


def beside(tokens: Tensor, masks: Tensor, registers: int = 0) -> tuple[Tensor, Tensor]:
    """Tokens [1, n, width] with a second class token for each mask [N, h, w] before them, and the attention mask
    that lets it see itself and the patches inside its mask, and the others everything but the second class tokens."""
    count, n = len(masks), tokens.shape[1]
    sequence = torch.cat([tokens[:, :1].expand(-1, count, -1), tokens], dim=1)
    bias = torch.full((count + n, count + n), -torch.inf)
    bias[:count, :count].fill_diagonal_(0.0)
    bias[:count, count + 1 + registers :] = masks.flatten(1).log()
    bias[:count, count + 1 : count + 1 + registers] = masks.mean(dim=(1, 2))[:, None].log()
    bias[count:, count:] = 0.0
    return sequence, bias


@pytest.mark.parametrize(
    "tower",
    ["VisionTransformer", "VisionTransformer, layer scale", "VisionTransformer, norms inside"],
    indirect=True,
)
@torch.no_grad()
def test_readers_of_open_clips_transformers_are_more_class_tokens_under_an_attention_mask(tower: ClipEncoder) -> None:
    visual: Any = tower.visual
    pixels, masks = noise(tower), some_masks(tower)
    tokens, bias = beside(visual._embeds(pixels)[:1], masks[0])
    for block in visual.transformer.resblocks:
        tokens = block(tokens, attn_mask=bias)
    expected = F.normalize(visual.ln_post(tokens[0, :3]) @ visual.proj, dim=1)
    torch.testing.assert_close(tower.encode_pooled(pixels, masks)[0], expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("tower", ["timm, class token", "EVA02"], indirect=True)
@torch.no_grad()
def test_readers_of_timms_transformers_are_more_class_tokens_under_an_attention_mask(tower: ClipEncoder) -> None:
    visual: Any = tower.visual
    _compare_with_timm(tower, visual.trunk, registers=0)


@torch.no_grad()
def test_registers_are_seen_as_far_as_the_mask_covers_the_image(build: Build) -> None:
    encoder = build(timm_tower("test_vit", 160, "token"))
    visual: Any = encoder.visual
    visual.trunk = VisionTransformer(160, 32, embed_dim=64, depth=6, num_heads=2, reg_tokens=3, num_classes=0).eval()
    for parameter in visual.trunk.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    _compare_with_timm(encoder, visual.trunk, registers=3)
    pixels = noise(encoder)
    found = encoder.encode_pooled(pixels, torch.ones(2, 1, 5, 5))[:, 0]
    torch.testing.assert_close(found, encoder.encode_image(pixels), atol=1e-5, rtol=0)


def _compare_with_timm(encoder: ClipEncoder, trunk: Any, registers: int) -> None:
    pixels, masks = noise(encoder), some_masks(encoder)
    embedded = trunk._pos_embed(trunk.patch_embed(pixels[:1]))
    rotated = isinstance(embedded, tuple)
    tokens, bias = beside(trunk.norm_pre(embedded[0] if rotated else embedded), masks[0], registers)
    for block in trunk.blocks:
        if rotated:
            block.attn.num_prefix_tokens = 4  # three class tokens more, none of which is rotated
            tokens = block(tokens, rope=embedded[1], attn_mask=bias)
            block.attn.num_prefix_tokens = 1
        else:
            tokens = block(tokens, attn_mask=bias)
    visual: Any = encoder.visual
    expected = F.normalize(visual.head(trunk.fc_norm(trunk.norm(tokens))[0, :3]), dim=1)
    torch.testing.assert_close(encoder.encode_pooled(pixels, masks)[0], expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("tower", "pools_class_token"), [("SigLIP", False), ("PE", True)], indirect=["tower"])
@torch.no_grad()
def test_timms_attention_pool_is_asked_under_its_own_attention_mask(
    tower: ClipEncoder, pools_class_token: bool
) -> None:
    visual: Any = tower.visual
    pixels, masks = noise(tower), some_masks(tower)
    tokens = visual.trunk.norm(last_output(tower, pixels))
    weights = masks.flatten(2)
    if pools_class_token:
        weights = torch.cat([weights.mean(dim=2, keepdim=True), weights], dim=2)
    else:
        tokens = tokens[:, 1:]
    pooled = visual.trunk.attn_pool(tokens[:1].expand(3, -1, -1), attn_mask=weights[0, :, None, None].log())
    expected = F.normalize(visual.head(visual.trunk.head(visual.trunk.fc_norm(pooled))), dim=1)
    torch.testing.assert_close(tower.encode_pooled(pixels, masks)[0], expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("tower", ["CoCa"], indirect=True)
@torch.no_grad()
def test_cocas_pool_is_asked_under_an_attention_mask_of_pytorchs(tower: ClipEncoder) -> None:
    visual: Any = tower.visual
    pixels, masks = noise(tower), some_masks(tower)
    pool, keys = visual.attn_pool, visual.attn_pool.ln_k(last_output(tower, pixels)[:1])
    weights = masks[0].flatten(1)
    bias = torch.cat([weights.mean(dim=1, keepdim=True), weights], dim=1).log()
    query = pool.ln_q(pool.query)[:1].expand(3, -1)[None]
    pooled = visual.ln_post(pool.attn(query, keys, keys, attn_mask=bias)[0])
    expected = F.normalize(pooled[0] @ visual.proj, dim=1)
    torch.testing.assert_close(tower.encode_pooled(pixels, masks)[0], expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("tower", ["ModifiedResNet"], indirect=True)
@torch.no_grad()
def test_clips_attention_pool_is_asked_under_an_attention_mask_of_pytorchs(tower: ClipEncoder) -> None:
    pool = cast("Any", tower.visual).attnpool
    pixels, masks = noise(tower), some_masks(tower)
    maps = last_output(tower, pixels)[0].flatten(1).T
    tokens = (torch.cat([maps.mean(dim=0, keepdim=True), maps]) + pool.positional_embedding)[:, None]
    rows = []
    for mask in masks[0].flatten(1):
        seen = torch.cat([mask.mean()[None], mask])  # the mean counts as much as the mask covers of the image
        rows.append(_attended(pool, tokens, seen.log()[None])[0, 0])
    expected = F.normalize(torch.stack(rows), dim=1)
    torch.testing.assert_close(tower.encode_pooled(pixels, masks)[0], expected, atol=1e-5, rtol=0)


def _attended(pool: Any, tokens: Tensor, bias: Tensor) -> Tensor:
    """What the first of tokens [n, 1, width] gets, by PyTorch's own attention."""
    found: Tensor = F.multi_head_attention_forward(
        tokens[:1], tokens, tokens, tokens.shape[-1], pool.num_heads, None,
        torch.cat([pool.q_proj.bias, pool.k_proj.bias, pool.v_proj.bias]), None, None, False, 0.0,
        pool.c_proj.weight, pool.c_proj.bias, training=False, need_weights=False, use_separate_proj_weight=True,
        q_proj_weight=pool.q_proj.weight, k_proj_weight=pool.k_proj.weight, v_proj_weight=pool.v_proj.weight,
        attn_mask=bias,
    )[0]  # fmt: skip
    return found


@pytest.mark.parametrize(
    "tower", ["convnext", "resnet", "swin", "VisionTransformer, mean", "timm, mean"], indirect=True
)
@torch.no_grad()
def test_a_mean_over_what_the_mask_shows_is_a_mean_over_copies_of_it(tower: ClipEncoder) -> None:
    """Under the mask of one place, the embedding is that of maps which show this place everywhere."""
    pixels = noise(tower, batch=1)
    layer = tower.layer("auto")
    masks = torch.zeros_like(some_masks(tower)[:1, :1])
    masks[..., 1, 2 % masks.shape[-1]] = 1.0
    found = tower.encode_pooled(pixels, masks)[0]

    def spread(_module: Any, _inputs: Any, output: Tensor) -> Tensor:
        maps = layer.maps(output)
        return layer.restored(maps[:, :, 1:2, 2 % maps.shape[-1], None].expand_as(maps), output)

    handle = layer.module.register_forward_hook(spread)
    expected = tower.encode_image(pixels)
    handle.remove()
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_a_tower_that_cannot_pool_under_masks_says_so(build: Build) -> None:
    cascade = build({**VIT, "attentional_pool": "cascade", "attn_pooler_heads": 4}, embed_dim=32)
    assert not cascade.info.pools_masks
    with pytest.raises(UsageError, match=r"two attention layers \(cascade\)"):
        cascade.encode_pooled(noise(cascade), torch.ones(2, 1, 4, 4))


def test_pixels_of_another_size_are_refused(vit: ClipEncoder) -> None:
    with pytest.raises(ValueError, match="takes pixels"):
        vit.encode_pooled(torch.zeros(1, 3, 16, 16), torch.ones(1, 1, 4, 4))
