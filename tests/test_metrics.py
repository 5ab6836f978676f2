"""Pointing, PxAP, presence, counting, insertion and deletion against values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xtool.image.geometry import Geometry
from xtool.metrics.causal import area, curve, keep_masks
from xtool.metrics.counting import count_error, f1, matches
from xtool.metrics.image_map import ImageMap
from xtool.metrics.pointing import TOLERANCE, points_at_box, points_at_mask
from xtool.metrics.presence import auroc, balanced_accuracy
from xtool.metrics.pxap import IGNORE, PxAP


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

    def test_the_margin_is_round(self):
        box = [[0, 0, 10, 10]]
        assert points_at_box(peak(20, 5), box, TOLERANCE)
        assert points_at_box(peak(19, 19), box, TOLERANCE)  # 9.5 each way: 13.4
        assert not points_at_box(peak(21, 21), box, TOLERANCE)  # 11.5 each way: 16.3

    def test_masks_take_pixels(self):
        mask = np.zeros((40, 60), bool)
        mask[10, 10] = True
        assert points_at_mask(peak(10, 10), mask)
        assert not points_at_mask(peak(11, 10), mask)
        assert points_at_mask(peak(25, 10), mask, TOLERANCE)
        assert not points_at_mask(peak(26, 10), mask, TOLERANCE)

    @pytest.mark.parametrize("value", [0.0, 3.0, np.nan])
    def test_a_map_that_says_nothing_points_nowhere(self, value):
        assert not points_at_box(np.full((4, 4), value), [[0, 0, 4, 4]])
        assert not points_at_mask(np.full((4, 4), value), np.ones((4, 4), bool))


class TestPxAP:
    def test_by_hand(self):
        metric = PxAP(np.array([0.0, 0.5]))
        # Bins: [0, .5) [.5, 1) [1, 2): true 1, 1, 1; false 2, 1, 0.
        scores = np.array([[1.0, 0.6, 0.1], [0.6, 0.2, 0.3]])
        mask = np.array([[1, 1, 1], [0, 0, 0]])
        metric.add(scores, mask)
        # From the top: P 1/1, 2/3, 3/6 at R 1/3, 2/3, 1.
        assert metric.summary() == pytest.approx((1 + 2 / 3 + 3 / 6) / 3)

    def test_ignored_pixels_are_left_out(self):
        metric = PxAP(np.array([0.0, 0.5]))
        metric.add(np.array([[1.0, 1.0, 0.0]]), np.array([[1, IGNORE, 0]]))
        assert metric.summary() == 1

    def test_images_share_one_histogram_and_reset_forgets_them(self):
        metric = PxAP()
        metric.add(np.array([[0.9]]), np.array([[1]]))
        metric.add(np.array([[0.95]]), np.array([[0]]))
        assert metric.summary() == pytest.approx(0.5)
        metric.reset()
        assert math.isnan(metric.summary())

    def test_a_perfect_map_has_area_one(self):
        mask = np.zeros((224, 224), np.uint8)
        mask[50:100, 50:100] = 1
        metric = PxAP()
        metric.update(ImageMap(mask.astype(np.float32), Geometry.of((224, 224), (224, 224))), mask)
        assert metric.summary() == 1

    def test_shapes_must_agree(self):
        with pytest.raises(ValueError, match="differ"):
            PxAP().add(np.zeros((2, 2)), np.zeros((2, 3)))


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
