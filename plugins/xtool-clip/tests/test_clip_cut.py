"""A CNN in two parts gives what it gives whole: maps and embeddings, gradients, and embeddings under masks."""

from __future__ import annotations

import torch
from clip_testing import noise
from torch import Tensor
from torch.nn import functional as F

from xtool.plugin import Cut, attend, attend_one, hooked
from xtool_clip.encoder import ClipEncoder


def cut_of(encoder: ClipEncoder) -> Cut:
    cut = encoder.layer("auto").cut
    assert cut is not None
    return cut


def whole(encoder: ClipEncoder, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """The layer's output and the embedding, by the tower itself; the output's gradient goes into the embedding."""
    outputs: list[Tensor] = []
    with hooked(encoder.layer("auto").module, outputs.append):
        embedding = encoder.encode_image(pixels)
    return outputs[0], embedding


def test_both_parts_compute_what_the_tower_computes(cnn: ClipEncoder) -> None:
    pixels = noise(cnn, 3)
    with torch.no_grad():
        output, embedding = whole(cnn, pixels)
        before = cut_of(cnn).before(pixels)
        after = cut_of(cnn).after(before)
    torch.testing.assert_close(before, output, rtol=1e-4, atol=1e-4 * float(output.abs().max()))
    torch.testing.assert_close(after, embedding, rtol=0, atol=1e-5)


def test_gradients_behind_the_cut_are_those_of_the_tower(cnn: ClipEncoder) -> None:
    pixels = noise(cnn)
    output, embedding = whole(cnn, pixels)
    text = F.normalize(torch.randn(embedding.shape[1], generator=torch.Generator().manual_seed(2)), dim=0)
    (expected,) = torch.autograd.grad((embedding @ text).sum(), output)
    leaf = output.detach().requires_grad_()
    (found,) = torch.autograd.grad((cut_of(cnn).after(leaf) @ text).sum(), leaf)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


@torch.no_grad()
def test_masks_at_the_cut_are_masks_at_the_pool(cnn: ClipEncoder) -> None:
    pixels = noise(cnn)
    masks = torch.rand(2, 5, 7, 7, generator=torch.Generator().manual_seed(3)).round(decimals=1)
    masks[:, 0] = 0
    pooled = cut_of(cnn).pooled
    assert pooled is not None
    found = pooled(cut_of(cnn).before(pixels), masks)
    torch.testing.assert_close(found, cnn.encode_pooled(pixels, masks), rtol=0, atol=1e-5)


def test_whoever_hooks_the_tower_sees_it_run_whole(cnn: ClipEncoder) -> None:
    with hooked(cnn.visual, lambda output: None):
        assert cnn.layer("auto").cut is None
    assert cnn.layer("auto").cut is not None
    assert cnn.layer(cnn.info.layers[0]).cut is None, "there is a twin of the whole only"


def test_one_query_under_many_masks_attends_as_many_queries_do() -> None:
    generator = torch.Generator().manual_seed(4)
    query, keys, values = (torch.randn(2, 3, n, 4, generator=generator) for n in (1, 6, 6))
    seen = torch.rand(2, 5, 6, generator=generator)
    seen[0, 1] = 0
    seen[1, :, 2] = 0
    found = attend_one(query, keys, values, seen, 0.5)
    torch.testing.assert_close(found, attend(query, keys, values, seen, 0.5))
    assert not found[0, :, 1].any(), "a query that sees nothing takes zeros"
