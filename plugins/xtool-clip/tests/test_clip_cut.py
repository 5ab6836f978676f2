"""A CNN in two parts gives what it gives whole: maps and embeddings, gradients, and embeddings under masks."""

from __future__ import annotations

import torch
from clip_testing import noise
from open_clip.modified_resnet import AttentionPool2d
from torch import Tensor
from torch.nn import functional as F

from xtool.plugin import Cut, attend, attend_one, embed_masked, hooked
from xtool_clip.encoder import ClipEncoder
from xtool_clip.masked_cosines import pays


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


@torch.no_grad()
def test_cosines_without_embeddings_are_those_of_the_embeddings(cnn: ClipEncoder) -> None:
    """Held against the pooling that projects every embedding; the second image has fewer masks."""
    pixels = noise(cnn)
    generator = torch.Generator().manual_seed(5)
    maps = cut_of(cnn).before(pixels)
    masks = torch.rand(2, 6, *maps.shape[-2:], generator=generator).round(decimals=1)
    masks[:, 0] = 0
    masks[:, 1] = 1
    masks[:, 2] = 0
    masks[:, 2, 0, 1] = 1
    masks[:, 3] *= 1e-30
    texts = F.normalize(torch.randn(3, cnn.info.embed_dim, generator=generator), dim=1)
    expected = cnn.encode_pooled(pixels, masks)
    cosines = cut_of(cnn).cosines
    assert cosines is not None
    found = cosines(maps, [masks[0], masks[1, :4]])
    for image, (nothing, of) in enumerate(found):
        torch.testing.assert_close(nothing, expected[image, 0], rtol=0, atol=1e-6)
        own = expected[image, : (6, 4)[image]]
        for text in texts:
            torch.testing.assert_close(of(text), own @ text, rtol=0, atol=2e-6)


def test_masks_at_the_pool_score_alike_with_and_without_embeddings(cnn: ClipEncoder) -> None:
    """Somebody's hook has the tower run whole, which makes the embeddings. One map is dead, some are not wanted."""
    pixels = noise(cnn)
    generator = torch.Generator().manual_seed(6)
    maps = torch.rand(2, 5, 3, 4, generator=generator)  # of another size than what is pooled
    maps[0, 2] = 0.5
    wanted = torch.rand(2, 5, generator=generator) > 0.3
    texts = F.normalize(torch.randn(2, 2, cnn.info.embed_dim, generator=generator), dim=2)  # of each image its own
    for kept in (None, wanted):
        found = embed_masked(cnn, pixels, maps, at="pool", wanted=kept)
        with hooked(cnn.visual, lambda output: None):
            expected = embed_masked(cnn, pixels, maps, at="pool", wanted=kept)
        for part, right in zip(found.scores(texts), expected.scores(texts), strict=True):
            torch.testing.assert_close(part, right, rtol=0, atol=3e-6)
        assert torch.equal(found.alive, expected.alive)
        torch.testing.assert_close(found.embeddings, expected.embeddings, rtol=0, atol=1e-5)
        assert not found.scores(texts)[1].masked_select(~found.alive[:, None].expand(-1, 2, -1)).any()


def test_cosines_are_had_without_embeddings_where_that_takes_less() -> None:
    """RN50: 32 heads, 7 x 7 places; RN50x4: 40 heads, 9 x 9 places."""
    assert pays(AttentionPool2d(7, 2048, 32, 1024))
    assert not pays(AttentionPool2d(9, 2560, 40, 640))


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
