"""Raw attention and rollout, against loops over single numbers and matrices worked out by hand."""

from __future__ import annotations

import pytest
import torch
from vit_towers import pixels_for, texts_for

from xtool.plugin import UsageError, read_stream
from xtool_clip.encoder import ClipEncoder
from xtool_vit.config import RawAttentionConfig, RolloutConfig
from xtool_vit.rollout import RawAttention, Rollout, _without_least


def test_rollout_on_every_tower_is_the_product_written_as_loops(tower: ClipEncoder) -> None:
    pixels, text = pixels_for(tower, 1), texts_for(tower, 2)
    found = Rollout(RolloutConfig()).explain(tower, pixels, text).maps
    stream = read_stream(tower, pixels)
    tokens = stream.grid.tokens
    rolled = torch.eye(tokens)
    with torch.no_grad():
        for block in range(len(stream.blocks)):
            mean = sum(head for head in stream.attention(block)[0]) / stream.attention(block).shape[1]
            mixed = mean + torch.eye(tokens)
            rolled = torch.stack([row / row.sum() for row in mixed]) @ rolled
        shares = stream.pooling.shares(stream.tokens[-1])[0].mean(dim=0)
    row = torch.stack([(shares * rolled[:, token]).sum() for token in range(tokens)])
    assert float(row.sum()) == pytest.approx(1, abs=1e-4)
    grid = stream.grid
    for y in range(grid.height):
        for x in range(grid.width):
            expected = row[grid.prefix_tokens + y * grid.width + x]
            torch.testing.assert_close(found[0, :, y, x], expected.expand(2), rtol=1e-4, atol=1e-6)


def test_raw_attention_of_a_class_token_is_its_row_in_the_last_block(vit: ClipEncoder) -> None:
    pixels = pixels_for(vit, 1)
    block = vit.visual.transformer.resblocks[-1]  # type: ignore[union-attr, index]
    given = []
    handle = block.register_forward_pre_hook(lambda _module, args: given.append(args[0]))
    with torch.no_grad():
        vit.encode_image(pixels)
        handle.remove()
        normed = block.ln_1(given[0])
        _, weights = block.attn(normed, normed, normed, need_weights=True, average_attn_weights=True)
    found = RawAttention(RawAttentionConfig()).explain(vit, pixels, texts_for(vit, 1)).maps
    torch.testing.assert_close(found[0, 0].flatten(), weights[0, 0, 1:], rtol=1e-4, atol=1e-6)


def test_the_least_attention_is_discarded_but_never_that_to_the_first_token() -> None:
    attention = torch.tensor([[[0.01, 0.04, 0.95], [0.3, 0.5, 0.2], [0.6, 0.05, 0.35]]])
    kept = torch.tensor([[[0.01, 0.0, 0.95], [0.3, 0.5, 0.2], [0.6, 0.0, 0.35]]])
    torch.testing.assert_close(_without_least(attention, 0.34), kept)  # 3 of 9: 0.01, 0.04, 0.05
    assert _without_least(attention, 0.0) is attention


def test_a_start_beyond_the_last_block_is_refused(vit: ClipEncoder) -> None:
    with pytest.raises(UsageError, match=r"start=3: small has blocks 0 to 2"):
        Rollout(RolloutConfig(start=3)).explain(vit, pixels_for(vit), texts_for(vit))
