"""The controls know nothing of the model, and are the same each time."""

from __future__ import annotations

import torch
from cam_encoders import LastStage, TinyEncoder, pixels_for, texts_for

from xtool_cam.config import CenterConfig, MeanMapConfig, RandomConfig
from xtool_cam.controls import CenterBump, MeanMap, RandomNoise


def test_controls_run_no_forward_pass(encoder: TinyEncoder) -> None:
    pixels = pixels_for(encoder)
    text = texts_for(encoder, pixels)
    CenterBump(CenterConfig()).explain(encoder, pixels, text)
    RandomNoise(RandomConfig()).explain(encoder, pixels, text)
    assert encoder.forwards == 0


def test_the_boxes_of_center_grow_around_the_middle(cnn: TinyEncoder) -> None:
    bump = CenterBump(CenterConfig(grid=20)).explain(cnn, pixels_for(cnn), torch.eye(16)[:1]).maps[0, 0]
    torch.testing.assert_close(bump, bump.flip(0))
    torch.testing.assert_close(bump, bump.T)
    widths = []
    for threshold in (0.9, 0.7, 0.5, 0.3, 0.15):
        columns = (bump > threshold * bump.max()).any(dim=0).nonzero()[:, 0]
        assert columns[0] + columns[-1] == 19
        widths.append(int(columns[-1] - columns[0] + 1))
    assert widths == sorted(set(widths))
    assert widths[-1] > 15


def test_noise_follows_seed_image_and_text_only(cnn: TinyEncoder) -> None:
    pixels = pixels_for(cnn)
    text = texts_for(cnn, pixels, 2)
    maps = RandomNoise(RandomConfig()).explain(cnn, pixels, text).maps
    torch.manual_seed(99)
    assert torch.equal(RandomNoise(RandomConfig()).explain(cnn, pixels, text).maps, maps)
    assert not torch.equal(RandomNoise(RandomConfig(seed=1)).explain(cnn, pixels, text).maps, maps)
    assert not torch.equal(maps[0, 0], maps[1, 0])
    assert not torch.equal(maps[0, 0], maps[0, 1])


def test_noise_survives_the_last_bit_of_a_text_embedding(cnn: TinyEncoder) -> None:
    pixels = pixels_for(cnn)
    text = texts_for(cnn, pixels)
    noise = RandomNoise(RandomConfig())
    torch.testing.assert_close(
        noise.explain(cnn, pixels, text * (1 + 1e-7)).maps, noise.explain(cnn, pixels, text).maps, atol=1e-5, rtol=0
    )


def test_noise_has_no_favourite_place(cnn: TinyEncoder) -> None:
    pixels = pixels_for(cnn, 400)[:, :, :8, :8]
    maps = RandomNoise(RandomConfig()).explain(cnn, pixels, torch.eye(16)[:1]).maps[:, 0]
    assert maps.mean(dim=0).abs().max() < 0.25
    assert (maps.std(dim=0) - 1).abs().max() < 0.2


def test_the_mean_map_adds_up_the_features_whatever_the_text(cnn: TinyEncoder) -> None:
    pixels = pixels_for(cnn)
    features = LastStage().extract(cnn, pixels).maps
    found = MeanMap(MeanMapConfig(), LastStage()).explain(cnn, pixels, texts_for(cnn, pixels)).maps
    for image in range(2):
        total = torch.zeros(features.shape[2:])
        for one in features[image]:
            total += one
        for text in range(3):
            torch.testing.assert_close(found[image, text], (total / features.shape[1]).clamp(min=0))
