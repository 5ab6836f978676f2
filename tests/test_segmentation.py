"""ImageNet-Segmentation's three numbers against counts made by hand, an independent loop and scikit-learn."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
import torch

from xtool.image.geometry import Fit, Geometry
from xtool.metrics.image_map import ImageMap
from xtool.metrics.ratio import ratio_values
from xtool.metrics.segmentation import (
    SIDE,
    average_precision,
    correct_pixels,
    map_at_side,
    mask_at_side,
    overlaps,
    two_channel_precision,
)

HEAT = np.array([[1.0, 0.75, 0.0], [0.25, 0.5, 0.5]])  # mean 0.5: foreground is the first two, as 0.5 is not above it
MASK = np.array([[1, 0, 1], [0, 1, 255]], np.uint8)


class TestCounts:
    def test_correct_pixels_by_hand(self) -> None:
        assert correct_pixels(HEAT, MASK) == (2, 5), "the object's first and the background's fourth; one is ignored"

    def test_overlaps_by_hand(self) -> None:
        # Labelled: found 1 1 0 / 0 0, true 1 0 1 / 0 1.
        background, foreground = overlaps(HEAT, MASK)
        assert foreground == [1, 4]
        assert background == [1, 4]

    def test_a_constant_map_marks_nothing(self) -> None:
        heat = np.zeros((2, 2))
        mask = np.array([[1, 0], [0, 0]], np.uint8)
        assert correct_pixels(heat, mask) == (3, 4)
        assert overlaps(heat, mask) == [[3, 4], [0, 1]]


class TestAveragePrecision:
    def test_by_hand(self) -> None:
        # 0.9 hit: P 1, R 1/2; 0.7 miss; 0.5 hit: P 2/3, R 1.
        assert average_precision([0.9, 0.7, 0.5], [True, False, True]) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)

    def test_equal_scores_are_one_step(self) -> None:
        assert average_precision([0.5, 0.5, 0.1], [True, False, True]) == pytest.approx(0.5 * 1 / 2 + 0.5 * 2 / 3)
        assert average_precision([1.0, 1.0, 1.0, 1.0], [True, False, False, False]) == 0.25

    def test_without_positives_there_is_none(self) -> None:
        assert math.isnan(average_precision([0.5], [False]))
        assert math.isnan(average_precision([], []))

    def test_two_channels_by_hand(self) -> None:
        # Channels (1 − map, map) of two pixels: object 0.75, background 0.5. Scores .25 n, .5 y | .75 y, .5 n.
        expected = 0.5 * 1 + 0.5 * 2 / 3  # 0.75: P 1; both 0.5: P 2/3; 0.25 adds no recall
        assert two_channel_precision(np.array([[0.75, 0.5]]), np.array([[1, 0]], np.uint8)) == pytest.approx(expected)

    def test_a_constant_map_ranks_all_pixels_alike(self) -> None:
        assert two_channel_precision(np.zeros((2, 2)), np.array([[1, 0], [0, 0]], np.uint8)) == 0.5

    def test_it_is_scikit_learns(self) -> None:
        metrics = pytest.importorskip("sklearn.metrics", reason="the comparison needs scikit-learn")
        random = np.random.default_rng(0)
        for levels in (3, 20, 10_000):
            heat = np.round(random.random((30, 40)) * levels) / levels
            mask = random.choice(np.array([0, 1, 255], np.uint8), (30, 40))
            kept = mask != 255
            scores = np.concatenate([(1 - heat)[kept], heat[kept]])
            hot = np.concatenate([(mask == 0)[kept], (mask == 1)[kept]])
            assert two_channel_precision(heat, mask) == pytest.approx(metrics.average_precision_score(hot, scores))


class TestResizing:
    def test_maps_are_resized_as_torch_does(self) -> None:
        low = np.random.default_rng(1).random((7, 9)).astype(np.float32)
        resized = torch.nn.functional.interpolate(torch.from_numpy(low)[None, None], (SIDE, SIDE), mode="bilinear")
        expected = ((resized - resized.min()) / (resized.max() - resized.min()))[0, 0].numpy()
        found = map_at_side(ImageMap(low, Geometry.of((500, 300), (224, 288))))
        np.testing.assert_allclose(found, expected, atol=1e-5)

    def test_maps_of_a_low_range_far_from_zero_keep_their_precision(self) -> None:
        low = (1000 + np.arange(4).reshape(2, 2) / 1024).astype(np.float32)
        plain = map_at_side(ImageMap(np.arange(4).reshape(2, 2).astype(np.float32), Geometry.of((9, 9), (224, 224))))
        np.testing.assert_allclose(map_at_side(ImageMap(low, Geometry.of((9, 9), (224, 224)))), plain, atol=1e-6)

    @pytest.mark.parametrize("fit", ["crop", "pad"])
    def test_under_another_fit_the_map_lies_where_the_mask_does(self, fit: Fit) -> None:
        """A map that is the mask itself stays nearly right, whatever part of the image the model saw."""
        mask = np.zeros((300, 600), np.uint8)
        mask[100:200, 240:360] = 1
        geometry = Geometry.of((600, 300), (224, 224), fit)
        low = geometry.map_to_input(mask.astype(np.float32))
        heat, small = map_at_side(ImageMap(low, geometry)), mask_at_side(mask)
        correct, labelled = correct_pixels(heat, small)
        assert labelled == SIDE * SIDE
        assert correct / labelled > 0.98

    def test_masks_take_the_nearest_pixel(self) -> None:
        mask = np.zeros((448, 448), np.uint8)
        mask[:, 225:] = 1
        mask[0:2] = 255
        small = mask_at_side(mask)  # each pixel's centre lies between two: the later one
        assert small[1, 111:114].tolist() == [0, 1, 1]
        assert set(small[0]) == {255}
        assert mask_at_side(mask == 1).max() == 1


class TestSets:
    def test_a_quotient_of_sums_is_the_mean_of_its_values(self) -> None:
        parts, wholes = np.array([1.0, 3.0, np.nan, 0.0]), np.array([2.0, 4.0, np.nan, 10.0])
        values = ratio_values(parts, wholes)
        assert np.nanmean(values) == pytest.approx(4 / 16)
        assert np.isnan(values).tolist() == [False, False, True, False]
        assert ratio_values(np.zeros(2), np.zeros(2)).tolist() == [0, 0]

    def test_its_interval_is_near_that_of_quotients_of_resamples(self) -> None:
        random = np.random.default_rng(2)
        wholes = random.integers(100, 10_000, 100).astype(float)
        parts = np.round(wholes * random.beta(2, 3, 100))
        drawn = random.integers(100, size=(4000, 100))
        plain = np.quantile(parts[drawn].sum(1) / wholes[drawn].sum(1), (0.025, 0.975))
        values = np.quantile(ratio_values(parts, wholes)[drawn].mean(1), (0.025, 0.975))
        np.testing.assert_allclose(values, plain, atol=0.005)


def test_the_numbers_of_a_run_are_those_of_a_loop_over_its_maps(xtool: Any, tmp_path: Any) -> None:
    """From the recorded maps, accumulated over the set as the definition says, with torch alone."""
    from xtool.datasets.opening import open_dataset
    from xtool.runs.run import open_runs

    names = ("pixel_accuracy", "mean_iou", "mean_ap")
    asked = [word for name in names for word in ("--metric", name)]
    compare = ("compare", "--encoder", "planted-cnn", "--dataset", "patches", "--methods", "colourcam,everywhere")
    done = xtool(*compare, "--limit", "4", *asked, "--json", "--out", "run")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["rows"]
    (run,) = open_runs(["run"])
    dataset = open_dataset("patches")
    for row in rows:
        correct = labelled = 0
        inter, union = np.zeros(2), np.zeros(2)
        for record in run.records():
            if record.method != row["method"]:
                continue
            low = torch.from_numpy(record.map.unpack())[None, None]
            heat = torch.nn.functional.interpolate(low, (SIDE, SIDE), mode="bilinear")[0, 0]
            heat = torch.nan_to_num((heat - heat.min()) / (heat.max() - heat.min()))
            found = (heat > heat.mean()).numpy()
            open_mask = dataset[record.index].open_mask
            assert open_mask is not None
            true = torch.nn.functional.interpolate(
                torch.from_numpy(open_mask()).float()[None, None], (SIDE, SIDE), mode="nearest-exact"
            )[0, 0].bool().numpy()  # fmt: skip
            correct += int((found == true).sum())
            labelled += true.size
            for kind in (0, 1):
                inter[kind] += ((found == kind) & (true == kind)).sum()
                union[kind] += ((found == kind) | (true == kind)).sum()
        assert row["pixel_accuracy"] == pytest.approx(correct / labelled, abs=1e-4)
        assert row["mean_iou"] == pytest.approx((inter / union).mean(), abs=1e-4)
    seeing, blind = rows
    assert seeing["mean_ap"] > 0.9
    assert blind["mean_ap"] == 0.5, "a constant map"
