"""Pointing, PxAP, presence, counting, insertion and deletion against values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xtool.image.geometry import Geometry
from xtool.metrics.causal import area, curve, keep_masks
from xtool.metrics.counting import count_error, f1, matches
from xtool.metrics.image_map import ImageMap
from xtool.metrics.pointing import TOLERANCE, points_at_box, points_at_mask
from xtool.metrics.presence import auroc, balanced_accuracy
from xtool.metrics.pxap import IGNORE, average_precision, pixel_counts
from xtool.metrics.wsol import resized_map, resized_mask


def peak(x, y, size=(40, 60)):
    full = np.zeros(size)
    full[y, x] = 1
    return full


class TestPointing:
    def test_a_box_is_half_open(self):
        assert points_at_box(peak(10, 5), [[10, 5, 11, 6]])
        assert not points_at_box(peak(11, 5), [[10, 5, 11, 6]])

    def test_any_of_the_boxes_counts(self):
        assert points_at_box(peak(30, 20), [[0, 0, 2, 2], [25, 15, 35, 25]])

    def test_the_margin_is_a_disc_of_pixels(self):
        box = [[0, 0, 10, 10]]  # its last pixels are in row and column 9
        assert points_at_box(peak(23, 5), box, TOLERANCE)  # 14 to the right
        assert not points_at_box(peak(24, 5), box, TOLERANCE)  # 15: the disc's rim is outside
        assert points_at_box(peak(19, 19), box, TOLERANCE)  # 10 each way: 14.1
        assert not points_at_box(peak(20, 20), box, TOLERANCE)  # 11 each way: 15.6

    def test_the_margin_agrees_with_a_disc_drawn_pixel_by_pixel(self):
        """Zhang's game as TorchRay plays it: pixels less than 15 from the peak, against the pixels of the object."""
        random = np.random.default_rng(3)
        rows, columns = np.mgrid[:60, :90]
        hits = 0
        for _ in range(3000):
            x, y = int(random.integers(90)), int(random.integers(60))
            x0, y0 = random.uniform(-5, 85, 2) * (1, 0.6)
            x1, y1 = x0 + random.uniform(0.2, 30), y0 + random.uniform(0.2, 30)
            disc = (rows - y) ** 2 + (columns - x) ** 2 < 15**2
            centre_x, centre_y = columns + 0.5, rows + 0.5
            mask = (centre_x >= x0) & (centre_x < x1) & (centre_y >= y0) & (centre_y < y1)
            expected = bool((disc & mask).any())
            full = peak(x, y, (60, 90))
            assert points_at_box(full, [[x0, y0, x1, y1]], 15) == expected
            assert points_at_mask(full, mask, 15) == expected
            assert points_at_box(full, [[x0, y0, x1, y1]]) == bool(mask[y, x])
            hits += expected
        assert 500 < hits < 2500

    def test_masks_take_pixels(self):
        mask = np.zeros((40, 60), bool)
        mask[10, 10] = True
        assert points_at_mask(peak(10, 10), mask)
        assert not points_at_mask(peak(11, 10), mask)
        assert points_at_mask(peak(24, 10), mask, TOLERANCE)
        assert not points_at_mask(peak(25, 10), mask, TOLERANCE)

    @pytest.mark.parametrize("value", [0.0, 3.0, np.nan])
    def test_a_map_that_says_nothing_points_nowhere(self, value):
        assert not points_at_box(np.full((4, 4), value), [[0, 0, 4, 4]])
        assert not points_at_mask(np.full((4, 4), value), np.ones((4, 4), bool))

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_a_map_with_a_value_that_is_not_finite_points_nowhere(self, value):
        full = peak(10, 5)
        full[3, 4] = value
        assert not points_at_mask(full, np.ones(full.shape, bool))


class TestPxAP:
    def test_by_hand(self):
        # Bins: [0, .5) [.5, 1) [1, 2): true 1, 1, 1; false 2, 1, 0.
        scores = np.array([[1.0, 0.6, 0.1], [0.6, 0.2, 0.3]])
        mask = np.array([[1, 1, 1], [0, 0, 0]])
        counts = pixel_counts(scores, mask, np.array([0.0, 0.5]))
        assert counts.tolist() == [[1, 1, 1, 0], [2, 1, 0, 0]]
        # From the top: P 1/1, 2/3, 3/6 at R 1/3, 2/3, 1.
        assert average_precision(counts) == pytest.approx((1 + 2 / 3 + 3 / 6) / 3)

    def test_ignored_pixels_are_left_out(self):
        counts = pixel_counts(np.array([[1.0, 1.0, 0.0]]), np.array([[1, IGNORE, 0]]))
        assert average_precision(counts) == 1

    def test_images_share_one_curve(self):
        one = pixel_counts(np.array([[0.9]]), np.array([[1]]))
        other = pixel_counts(np.array([[0.95]]), np.array([[0]]))
        assert average_precision(one) == 1
        assert average_precision(one + other) == pytest.approx(0.5)

    def test_without_a_pixel_of_any_object_there_is_no_area(self):
        assert math.isnan(average_precision(pixel_counts(np.array([[0.9]]), np.array([[0]]))))

    def test_a_perfect_map_has_area_one(self):
        mask = np.zeros((224, 224), np.uint8)
        mask[50:100, 50:100] = 1
        image_map = ImageMap(mask.astype(np.float32), Geometry.of((224, 224), (224, 224)))
        assert average_precision(pixel_counts(resized_map(image_map), resized_mask(mask))) == 1

    def test_maps_of_a_low_range_far_from_zero_keep_their_precision(self):
        """Against torch's bicubic resizing (the same kernel) in float64, and a count at each threshold in turn."""
        random = np.random.default_rng(0)
        low = (1000 + 0.002 * random.random((7, 7))).astype(np.float32)
        mask = np.zeros((224, 224), np.uint8)
        mask[64:160, 32:128] = 1
        wide = torch.from_numpy(low.astype(np.float64))[None, None]
        resized = torch.nn.functional.interpolate(wide, (224, 224), mode="bicubic", align_corners=False)[0, 0].numpy()
        scores = (resized - resized.min()) / (resized.max() - resized.min())
        expected, recall = 0.0, 0.0
        for cut in [1.0, *np.arange(0, 1, 0.001)[::-1]]:
            marked = scores >= cut
            hits = (marked & (mask == 1)).sum()
            expected += (hits / mask.sum() - recall) * hits / marked.sum()
            recall = hits / mask.sum()
        image_map = ImageMap(low, Geometry.of((224, 224), (224, 224)))
        found = average_precision(pixel_counts(resized_map(image_map), mask))
        assert found == pytest.approx(expected, abs=1e-6)

    def test_shapes_must_agree(self):
        with pytest.raises(ValueError, match="differ"):
            pixel_counts(np.zeros((2, 2)), np.zeros((2, 3)))


class TestPresence:
    def test_accuracy_is_balanced(self):
        assert balanced_accuracy([True] * 9 + [False], [True]) == pytest.approx(0.45)
        assert balanced_accuracy([True] * 5, [True] * 50) == 0.5, "never saying no is worth nothing"
        assert math.isnan(balanced_accuracy([], [True]))

    def test_auroc_counts_ties_half(self):
        assert auroc([3, 2], [1, 2]).value == pytest.approx(3.5 / 4)
        assert auroc([1, 1], [1, 1]).value == 0.5

    def test_nan_is_counted_not_hidden(self):
        result = auroc([3, np.nan], [1, np.nan, np.nan])
        assert (result.value, result.nans) == (1, 3)
        assert math.isnan(auroc([np.nan], [1]).value)

    @settings(deadline=None)
    @given(st.lists(st.integers(0, 5), min_size=1, max_size=9), st.lists(st.integers(0, 5), min_size=1, max_size=9))
    def test_auroc_is_the_share_of_pairs_in_order(self, high, low):
        pairs = [1.0 if h > other else 0.5 if h == other else 0.0 for h in high for other in low]
        assert auroc(high, low).value == pytest.approx(np.mean(pairs))


class TestCounting:
    def test_each_true_box_is_used_once(self):
        box = [0, 0, 10, 10]
        assert matches([box, box, box], [box]) == 1
        assert f1([1], [3], [1]) == 0.5

    def test_greedy_matching_would_lose_a_pair(self):
        # The first prediction fits both (better the first), the second only the first.
        truth = [[0, 0, 10, 10], [0, 3, 10, 13]]
        predicted = [[0, 1, 10, 11], [0, -2, 10, 8]]
        assert matches(predicted, truth) == 2

    def test_half_is_enough(self):
        assert matches([[0, 0, 10, 5]], [[0, 0, 10, 10]]) == 1
        assert matches([[0, 0, 10, 4]], [[0, 0, 10, 10]]) == 0

    def test_none_against_none(self):
        none = np.zeros((0, 4))
        assert (matches(none, none), count_error(none, none)) == (0, 0)
        assert count_error([[0, 0, 1, 1]], none) == 1
        assert math.isnan(f1([0], [0], [0]))


class TestCausal:
    SALIENCY = np.array([[0.1, 0.9], [0.5, 0.9]])

    def test_pixels_enter_from_the_most_salient(self):
        masks = np.concatenate(list(keep_masks(self.SALIENCY, "insertion", steps=4, batch=2)))
        assert masks.reshape(5, 4).astype(int).tolist() == [
            [0, 0, 0, 0],
            [0, 1, 0, 0],
            [0, 1, 0, 1],
            [0, 1, 1, 1],
            [1, 1, 1, 1],
        ]

    def test_deletion_is_the_complement(self):
        kept = np.concatenate(list(keep_masks(self.SALIENCY, "deletion", steps=3, batch=32)))
        entered = np.concatenate(list(keep_masks(self.SALIENCY, "insertion", steps=3, batch=32)))
        assert (kept == ~entered).all()

    def test_area_of_curves_known_in_closed_form(self):
        assert area([0, 1]) == 0.5
        assert area([1, 1, 1]) == 1
        assert area([0, 0, 1]) == 0.25

    def test_a_map_of_what_matters_inserts_high_and_deletes_low(self):
        saliency = np.zeros((10, 10))
        saliency[2:5, 2:5] = np.arange(1, 10).reshape(3, 3)

        def score(keep):
            return keep[:, 2:5, 2:5].mean(axis=(1, 2))

        # Nine of a hundred pixels, one a step: a ramp over nine steps, then flat.
        assert area(curve(saliency, score, "insertion", steps=100)) == pytest.approx(1 - 0.045)
        assert area(curve(saliency, score, "deletion", steps=100)) == pytest.approx(0.045)

    def test_a_score_too_few_is_an_error(self):
        with pytest.raises(ValueError, match="1 scores for 5 masks"):
            curve(self.SALIENCY, lambda keep: [1.0], "insertion", steps=4)
