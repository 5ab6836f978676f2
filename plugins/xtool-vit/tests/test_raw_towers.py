"""The references of these tests are the models: block by block, and where they pool a class token also in the end."""

from __future__ import annotations

import torch
from raw_towers import alone, grid_of, prefix, raw_blocks, tokens_between
from vit_towers import pixels_for

from xtool_clip.encoder import ClipEncoder


def test_each_block_from_its_raw_parts_gives_what_goes_into_the_next(tower: ClipEncoder) -> None:
    pixels = pixels_for(tower, 1)
    tokens = tokens_between(tower, pixels)
    rows, columns = grid_of(tower)
    assert tokens[0].shape[0] == prefix(tower) + rows * columns
    with torch.no_grad():
        for block, after in zip(raw_blocks(tower, pixels), tokens[1:], strict=True):
            torch.testing.assert_close(block.output(), after, rtol=1e-4, atol=1e-4)


def test_the_class_token_alone_is_the_image(vit: ClipEncoder) -> None:
    pixels = pixels_for(vit, 1)
    with torch.no_grad():
        torch.testing.assert_close(alone(vit, tokens_between(vit, pixels)[-1][:1]), vit.encode_image(pixels))
