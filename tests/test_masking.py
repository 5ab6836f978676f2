"""The mask engine against a loop written out from the definition."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from xtool.engine.encoders import CountedEncoder, counted
from xtool.engine.masking import MaskedEmbeddings, embed_masked
from xtool.engine.masks import masked_means, scaled_masks
from xtool.engine.work import Kept, account
from xtool.errors import UsageError
from xtool.testing.planted import PlantedCNN
from xtool.testing.planted_pool import PlantedPool

torch.manual_seed(0)


@pytest.fixture
def encoder() -> PlantedCNN:
    return PlantedCNN()


def picture(batch: int = 2) -> torch.Tensor:
    return torch.rand(batch, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1


def random_maps(batch: int = 2, channels: int = 7) -> torch.Tensor:
    return torch.randn(batch, channels, 5, 9, generator=torch.Generator().manual_seed(2))


def align_corners_upsampled(low: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Bilinear with aligned corners, from its definition, one pixel after the other."""
    h, w = low.shape
    out = torch.empty(height, width, dtype=torch.float64)
    for y in range(height):
        for x in range(width):
            v, u = y * (h - 1) / (height - 1), x * (w - 1) / (width - 1)
            top, left = min(int(v), h - 2), min(int(u), w - 2)
            fy, fx = v - top, u - left
            corner = low[top : top + 2, left : left + 2].double()
            weights = torch.tensor(
                [[(1 - fy) * (1 - fx), (1 - fy) * fx], [fy * (1 - fx), fy * fx]], dtype=torch.float64
            )
            out[y, x] = (corner * weights).sum()
    return out


def test_masks_are_aligned_upsampled_maps_scaled_to_0_1() -> None:
    maps = random_maps(1, 3)[0]
    masks = scaled_masks(maps[:, None], (20, 31))
    for low, mask in zip(maps, masks[:, 0], strict=True):
        full = align_corners_upsampled(low, 20, 31)
        expected = (full - full.min()) / (full.max() - full.min() + 1e-7)
        assert torch.allclose(mask.double(), expected, atol=1e-5)


@pytest.mark.parametrize("base", ["zero", "mean", "blur"])
def test_every_masked_image_is_embedded_over_the_base(encoder: PlantedCNN, base: str) -> None:
    pixels, maps = picture(), random_maps()
    result = embed_masked(encoder, pixels, maps, base=base, batch=3)  # type: ignore[arg-type]
    for b in range(2):
        background = {
            "zero": torch.zeros(3, 64, 64),
            "mean": pixels[b].mean(dim=(1, 2), keepdim=True).expand(3, 64, 64),
            "blur": F.interpolate(F.avg_pool2d(pixels[b : b + 1], 8), (64, 64), mode="bilinear", align_corners=False)[
                0
            ],
        }[base]
        with torch.no_grad():
            assert torch.allclose(result.base[b], encoder.encode_image(background[None])[0], atol=1e-6)
            for c in range(7):
                mask = scaled_masks(maps[b, c][None, None], (64, 64))[0]
                expected = encoder.encode_image((mask * pixels[b] + (1 - mask) * background)[None])[0]
                assert torch.allclose(result.embeddings[b, c], expected, atol=1e-5)


def test_constant_maps_cost_nothing_and_give_exactly_the_base(encoder: PlantedCNN) -> None:
    maps = random_maps()
    maps[0, 2] = 0.0
    maps[1, 4] = 3.5
    with account(Kept()) as work:
        result = embed_masked(counted(encoder), picture(), maps)
    assert work.forwards == 2 + 2 * 7 - 2
    assert result.alive.sum() == 12
    assert torch.equal(result.embeddings[0, 2], result.base[0])
    assert torch.equal(result.embeddings[1, 4], result.base[1])


@pytest.mark.parametrize("batch", [1, 4, 1000])
def test_the_chunk_size_does_not_change_the_result(encoder: PlantedCNN, batch: int) -> None:
    whole = embed_masked(encoder, picture(), random_maps(), batch=14)
    chunked = embed_masked(encoder, picture(), random_maps(), batch=batch)
    assert torch.allclose(whole.embeddings, chunked.embeddings, atol=1e-6)


def test_out_of_memory_halves_the_chunk_and_goes_on(encoder: PlantedCNN) -> None:
    class Tight(CountedEncoder):
        largest = 0

        def encode_image(self, pixels: torch.Tensor) -> torch.Tensor:
            if len(pixels) > 3:
                raise torch.OutOfMemoryError("no room for more than three images")
            self.largest = max(self.largest, len(pixels))
            return super().encode_image(pixels)

    tight = Tight(encoder)
    result = embed_masked(tight, picture(), random_maps(), batch=8)
    assert tight.largest == 2
    assert torch.allclose(result.embeddings, embed_masked(encoder, picture(), random_maps()).embeddings, atol=1e-6)


def test_out_of_memory_for_a_single_image_is_told(encoder: PlantedCNN) -> None:
    class Full(CountedEncoder):
        def encode_image(self, pixels: torch.Tensor) -> torch.Tensor:
            if pixels.abs().sum() > 0:
                raise torch.OutOfMemoryError("no room")
            return super().encode_image(pixels)

    with pytest.raises(torch.OutOfMemoryError):
        embed_masked(Full(encoder), picture(), random_maps())


def test_not_finite_maps_are_refused(encoder: PlantedCNN) -> None:
    maps = random_maps()
    maps[0, 0, 0, 0] = torch.nan
    with pytest.raises(UsageError, match="NaN"):
        embed_masked(encoder, picture(), maps)


def test_unscaled_masks_are_taken_as_they_are(encoder: PlantedCNN) -> None:
    mask = (torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(3)) > 0.5).float()
    result = embed_masked(encoder, picture(1), mask, scale=False)
    with torch.no_grad():
        expected = encoder.encode_image(picture(1) * mask[0])
    assert torch.allclose(result.embeddings[0], expected, atol=1e-6)


def test_masks_are_embedded_once_for_two_methods_and_charged_to_both(encoder: PlantedCNN) -> None:
    pixels, maps = picture(1), random_maps(1)
    calls = 0

    class Spy(CountedEncoder):
        def encode_image(self, pixels: torch.Tensor) -> torch.Tensor:
            nonlocal calls
            calls += len(pixels)
            return super().encode_image(pixels)

    spy = Spy(encoder)
    with account(Kept()) as work:
        first = embed_masked(spy, pixels, maps)
        alone = work.forwards
        second = embed_masked(spy, pixels, maps)
    assert calls == 8
    assert (alone, work.forwards) == (8, 16)
    assert work.charged_seconds > 0
    assert first is second


def test_nothing_is_shared_outside_an_account(encoder: PlantedCNN) -> None:
    pixels, maps = picture(1), random_maps(1)
    assert embed_masked(encoder, pixels, maps) is not embed_masked(encoder, pixels, maps)


def test_multiples_of_a_map_are_one_mask_and_cost_one_pass(encoder: PlantedCNN) -> None:
    maps = 100 * random_maps(2, 4)
    maps[0, 3] = 4 * maps[0, 1]
    maps[1, 3] = maps[0, 1]  # the same map of another image is another mask
    with account(Kept()) as work:
        result = embed_masked(counted(encoder), picture(), maps)
    assert work.forwards == 2 + 7
    assert torch.equal(result.embeddings[0, 3], result.embeddings[0, 1])
    alone = embed_masked(encoder, picture()[:1], maps[:1, 3:])
    assert torch.allclose(result.embeddings[0, 3], alone.embeddings[0, 0], atol=1e-5)
    assert not torch.allclose(result.embeddings[1, 3], result.embeddings[0, 1], atol=1e-3)


def test_embeddings_that_overflow_are_refused(encoder: PlantedCNN, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder, "encode_image", lambda pixels: torch.full((len(pixels), 4), torch.nan))
    with pytest.raises(UsageError, match="try --dtype float32"):
        embed_masked(encoder, picture(), random_maps())


def test_only_wanted_maps_are_embedded_and_each_as_if_all_were(encoder: PlantedCNN) -> None:
    maps = 100 * random_maps(2, 4)
    maps[0, 3] = 4 * maps[0, 1]  # the same mask: embedded as the first of its kind, also where that is not wanted
    wanted = torch.tensor([[True, False, False, True], [False, False, True, False]])
    with account(Kept()) as work:
        some = embed_masked(counted(encoder), picture(), maps, wanted=wanted)
    assert work.forwards == 2 + 3
    assert torch.equal(some.alive, wanted)
    whole = embed_masked(encoder, picture(), maps)
    assert torch.allclose(some.embeddings[wanted], whole.embeddings[wanted], atol=1e-6)
    assert torch.equal(some.embeddings[~wanted], some.base[:, None].expand(2, 4, -1)[~wanted])


def test_scores_are_cosines_with_the_base_and_what_each_mask_adds(encoder: PlantedCNN) -> None:
    masked = embed_masked(encoder, picture(), random_maps())
    text = encoder.encode_text(["red", "green", "zebra"])
    base, gains = masked.scores(text)
    for b in range(2):
        for t in range(3):
            assert float(base[b, t]) == pytest.approx(float(masked.base[b] @ text[t]), abs=1e-6)
            for c in range(7):
                cosine = float(masked.embeddings[b, c] @ text[t])
                assert float(base[b, t] + gains[b, t, c]) == pytest.approx(cosine, abs=1e-6)


def test_a_text_scores_the_same_to_the_last_bit_alone_and_beside_others() -> None:
    generator = torch.Generator().manual_seed(0)
    embeddings = torch.nn.functional.normalize(torch.randn(1, 40, 512, generator=generator), dim=2)
    masked = MaskedEmbeddings(embeddings, embeddings[:, 0], torch.ones(1, 40, dtype=torch.bool))
    text = torch.nn.functional.normalize(torch.randn(5, 512, generator=generator), dim=1)
    together = masked.scores(text)
    for t in range(5):
        alone = masked.scores(text[t : t + 1])
        assert all(torch.equal(one[:, 0], several[:, t]) for one, several in zip(alone, together, strict=True))
    assert together[1][0, :, 0].eq(0).all()  # the first mask embeds as the base does


def test_a_difference_that_another_batch_size_could_make_is_no_gain() -> None:
    base = torch.tensor([[1.0, 0.0]])
    moved = torch.tensor([[[1.0, 5e-7], [1.0, 5e-6]]])
    _, gains = MaskedEmbeddings(moved, base, torch.ones(1, 2, dtype=torch.bool)).scores(torch.tensor([[0.0, 1.0]]))
    assert gains.tolist() == [[[0.0, pytest.approx(5e-6)]]]


def test_masked_means_equal_loops_over_places() -> None:
    generator = torch.Generator().manual_seed(4)
    maps, masks = torch.randn(2, 3, 4, 5, generator=generator), torch.rand(2, 6, 4, 5, generator=generator)
    masks[1, 2] = 0.0
    found = masked_means(maps, masks)
    for image in range(2):
        for mask in range(6):
            for channel in range(3):
                places = [(y, x) for y in range(4) for x in range(5)]
                total = sum(float(masks[image, mask, y, x]) for y, x in places)
                product = sum(float(masks[image, mask, y, x] * maps[image, channel, y, x]) for y, x in places)
                expected = product / total if total else 0.0
                assert float(found[image, mask, channel]) == pytest.approx(expected, abs=1e-5)


def test_masks_of_another_size_are_brought_to_that_of_the_maps() -> None:
    """A mask of the left half, twice as fine: the mean of the left half's cells."""
    maps = torch.arange(16.0).reshape(1, 1, 4, 4)
    half = torch.zeros(1, 1, 8, 8)
    half[..., :4] = 1.0
    # Antialiased halving leaves the middle columns 7/8 and 1/8 of a cell: the filter reaches one fine cell across.
    columns = torch.tensor([1.0, 7 / 8, 1 / 8, 0.0])
    expected = (maps[0, 0] * columns).sum() / (4 * columns.sum())
    assert float(masked_means(maps, half)) == pytest.approx(float(expected), abs=1e-5)


def test_at_the_pool_all_masks_cost_one_pass_and_equal_masks_pooled_by_hand() -> None:
    encoder = PlantedPool()
    pixels, maps = picture(), random_maps()
    maps[0, 2] = 0.5  # dead: it is embedded as the base
    with account() as work:
        found = embed_masked(CountedEncoder(encoder), pixels, maps, at="pool")
    assert work.forwards == len(pixels)
    masks = scaled_masks(maps.reshape(-1, 1, 5, 9).clone(), (5, 9)).reshape(maps.shape)
    with torch.no_grad():
        expected = encoder.encode_pooled(pixels, masks)
        nothing = F.normalize(encoder.visual.proj.bias, dim=0)
    assert torch.allclose(found.base, nothing.expand(2, -1), atol=1e-6)
    assert found.alive.tolist() == [[True, True, False, True, True, True, True], [True] * 7]
    assert torch.allclose(found.embeddings[found.alive], expected[found.alive], atol=1e-6)
    assert torch.equal(found.embeddings[0, 2], found.base[0])


def test_unwanted_masks_at_the_pool_are_the_base_and_the_wanted_ones_do_not_change() -> None:
    encoder, pixels, maps = PlantedPool(), picture(), random_maps()
    wanted = torch.zeros(2, 7, dtype=torch.bool)
    wanted[:, 3] = True
    whole = embed_masked(encoder, pixels, maps, at="pool")
    some = embed_masked(encoder, pixels, maps, at="pool", wanted=wanted)
    assert torch.equal(some.embeddings[:, 3], whole.embeddings[:, 3])
    assert torch.equal(some.alive, wanted)
    assert torch.equal(some.embeddings[:, 0], some.base)


def test_an_encoder_that_cannot_pool_masks_is_told_to_mask_the_pixels(encoder: PlantedCNN) -> None:
    with pytest.raises(UsageError, match="planted-cnn cannot pool under a mask; mask the pixels"):
        embed_masked(encoder, picture(), random_maps(), at="pool")
