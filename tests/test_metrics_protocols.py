"""Localization protocols against boxes and overlaps worked out by hand."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from xtool.errors import SetupError, UsageError
from xtool.image.geometry import Geometry
from xtool.metrics.image_map import ImageMap, min_max
from xtool.metrics.iou import box_iou
from xtool.metrics.protocols import CAM2016, MAXBOXACC, MAXBOXACCV2, PROTOCOLS, VLSCORE, get_protocol
from xtool.metrics.topk import localization_rates, rank_of
from xtool.metrics.wsol import true_boxes

SQUARE = Geometry.of((224, 224), (224, 224))


def blank():
    return np.zeros((224, 224), np.float32)


def test_iou_of_half_open_boxes():
    boxes = [[0, 0, 2, 2], [1, 1, 3, 3], [5, 5, 5, 5]]
    assert box_iou(boxes, [[0, 0, 2, 2], [0, 0, 4, 1]]).tolist() == [[1, 2 / 6], [1 / 7, 0], [0, 0]]


def test_iou_of_inclusive_boxes_counts_the_last_pixel():
    assert box_iou([[0, 0, 1, 1]], [[1, 1, 2, 2]], inclusive=True).tolist() == [[1 / 7]]
    assert box_iou([[3, 3, 3, 3]], [[3, 3, 3, 3]], inclusive=True).tolist() == [[1]]


def test_iou_without_boxes_is_empty():
    assert box_iou(np.zeros((0, 4)), [[0, 0, 1, 1]]).shape == (0, 1)


def test_a_constant_or_broken_map_is_normalised_to_zero():
    for low in (np.full((3, 3), 7.0), np.array([[np.nan, 1.0]]), np.array([[np.inf, 1.0]])):
        assert min_max(low).max() == 0
    assert min_max(np.array([[-1.0, 1.0, 0.0]])).tolist() == [[0, 1, 0.5]]


class TestVLScore:
    def test_any_component_with_any_true_box_counts(self):
        low = blank()
        low[10:20, 10:30] = 1.0
        low[100:150, 100:200] = 0.5
        ious = VLSCORE.best_ious(ImageMap(low, SQUARE), [[100, 100, 200, 150], [0, 0, 5, 5]])
        assert ious.shape == (100,)
        assert ious[49] == 1, "0.5 is above 0.49"
        assert ious[50] == 0, "0.5 is not above 0.5"

    def test_small_components_are_not_boxes(self):
        low = blank()
        low[0:5, 0:10] = 1.0  # 50 of 50176 pixels: less than a thousandth
        assert VLSCORE.best_ious(ImageMap(low, SQUARE), [[0, 0, 10, 5]]).max() == 0

    def test_a_map_that_says_nothing_finds_nothing(self):
        for low in (np.zeros((7, 7)), np.full((7, 7), 2.0), np.full((7, 7), np.nan)):
            assert VLSCORE.best_ious(ImageMap(low, SQUARE), [[0, 0, 224, 224]]).max() == 0

    def test_exactly_half_is_not_found(self):
        assert VLSCORE.choose(np.full((3, 100), 0.5)).accuracy == 0
        assert VLSCORE.choose(np.full((3, 100), 0.51)).accuracy == 1

    def test_boxes_are_those_of_the_image_not_of_the_input(self):
        geometry = Geometry.of((448, 112), (224, 224), "squash")
        low = blank()
        low[50:150, 100:150] = 1.0  # in the image: x 200..300, y 25..75
        assert VLSCORE.best_ious(ImageMap(low, geometry), [[200, 25, 300, 75]])[50] == 1


class TestWSOL:
    def test_the_last_pixel_of_a_box_is_one_past_the_contour(self):
        low = blank()
        low[50:100, 20:120] = 1.0  # boundingRect (20, 50, 100, 50) → (20, 50, 120, 100)
        image_map = ImageMap(low, SQUARE)
        assert MAXBOXACC.best_ious(image_map, [[20, 50, 121, 101]])[500] == 1
        tight = MAXBOXACC.best_ious(image_map, [[20, 50, 120, 100]])[500]
        assert tight == pytest.approx(100 * 50 / (101 * 51))

    def test_at_the_border_it_is_the_last_one_there_is(self):
        low = blank()
        low[200:224, 180:224] = 1.0
        assert CAM2016.best_ious(ImageMap(low, SQUARE), [[180, 200, 224, 224]]).tolist() == [1]

    def test_the_threshold_is_an_integer_and_strict(self):
        low = blank()
        low[10:110, 10:110] = 51.9 / 255  # 51 as a byte: not above int(0.2 * 255) = 51
        low[50:60, 50:60] = 1.0
        ious = CAM2016.best_ious(ImageMap(low, SQUARE), [[50, 50, 61, 61]])
        assert ious.tolist() == [1]
        # 0.199 * 255 = 50.745 → 50, so that the same 51 is above it.
        assert MAXBOXACC.best_ious(ImageMap(low, SQUARE), [[10, 10, 111, 111]])[199] == 1
        assert MAXBOXACC.best_ious(ImageMap(low, SQUARE), [[10, 10, 111, 111]])[200] < 0.02

    def test_v1_takes_the_largest_contour_v2_all(self):
        low = blank()
        low[10:20, 10:20] = 1.0
        low[100:200, 100:200] = 1.0
        small = [[10, 10, 21, 21]]
        assert MAXBOXACC.best_ious(ImageMap(low, SQUARE), small)[500] == 0
        assert MAXBOXACCV2.best_ious(ImageMap(low, SQUARE), small)[500] == 1

    def test_v2_takes_contours_of_holes_too(self):
        low = blank()
        low[20:120, 20:120] = 1.0
        low[50:90, 50:90] = 0.0  # its contour runs on the ring: 49..90
        hole = [[49, 49, 92, 92]]
        assert MAXBOXACCV2.best_ious(ImageMap(low, SQUARE), hole)[500] == 1
        assert MAXBOXACC.best_ious(ImageMap(low, SQUARE), hole)[500] == pytest.approx(43**2 / 101**2)

    def test_no_contour_is_a_box_of_the_first_pixel(self):
        for low in (blank(), np.full((7, 7), 3.0, np.float32), np.full((7, 7), np.nan, np.float32)):
            ious = MAXBOXACC.best_ious(ImageMap(low, SQUARE), [[0, 0, 2, 2]])
            assert ious.shape == (1000,)
            assert set(ious.tolist()) == {0.25}

    def test_true_boxes_are_cut_to_integers_at_224(self):
        # Inclusive (163, 114, 499, 329) in 500 x 333: 73.02, 76.68, 223.55, 221.3
        assert true_boxes([[163, 114, 500, 330]], (500, 333)).tolist() == [[73, 76, 223, 221]]

    def test_other_fits_compare_in_the_image_too(self):
        geometry = Geometry.of((448, 224), (224, 224), "pad")
        low = blank()
        low[56:168, 112:224] = 1.0  # the right half of the image
        ious = MAXBOXACC.best_ious(ImageMap(low, geometry), [[224, 0, 448, 224]])
        assert ious[500] > 0.97

    def test_without_opencv_one_is_told_what_to_install(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "cv2", None)
        with pytest.raises(SetupError, match=r"xtool-saliency\[wsol\]"):
            CAM2016.best_ious(ImageMap(blank(), SQUARE), [[0, 0, 1, 1]])


class TestDataSet:
    def test_accuracy_first_then_the_best_threshold(self):
        # Each image has a threshold that finds it, but no threshold finds more than two of the three.
        ious = np.zeros((3, 100), np.float32)
        ious[0, 10] = ious[1, 20] = ious[1, 30] = ious[2, 30] = 0.9
        choice = VLSCORE.choose(ious)
        assert choice.accuracy == pytest.approx(2 / 3)
        assert choice.thresholds == (0.3,)
        assert choice.box_iou == pytest.approx(0.6)
        assert VLSCORE.credit(ious, choice).tolist() == [0, 1, 1]

    def test_a_given_threshold_is_taken(self):
        ious = np.zeros((2, 100), np.float32)
        ious[0, 60] = ious[0, 20] = ious[1, 20] = 0.9
        choice = VLSCORE.choose(ious, threshold=0.6)
        assert (choice.accuracy, choice.thresholds) == (0.5, (0.6,))
        with pytest.raises(UsageError, match=r"no threshold 0\.605"):
            VLSCORE.choose(ious, threshold=0.605)

    def test_v2_has_a_best_threshold_for_each_overlap(self):
        ious = np.zeros((2, 1000), np.float32)
        ious[:, 100] = 0.3  # found at 30 only, in both images
        ious[0, 500] = 0.7  # found at all three, in one
        choice = MAXBOXACCV2.choose(ious)
        assert choice.indices == (100, 500, 500)
        assert choice.accuracy == pytest.approx((1 + 0.5 + 0.5) / 3)
        assert MAXBOXACCV2.credit(ious, choice) == pytest.approx([1, 1 / 3])

    def test_the_limit_itself_counts_in_wsol(self):
        assert MAXBOXACC.choose(np.full((1, 1000), 0.5, np.float32)).accuracy == 1

    def test_wrong_shapes_and_no_images_are_refused(self):
        for ious in (np.zeros((2, 99)), np.zeros((0, 100)), np.zeros(100)):
            with pytest.raises(UsageError, match="vlscore needs"):
                VLSCORE.choose(ious)

    def test_protocols_say_what_they_are(self):
        for name, protocol in PROTOCOLS.items():
            assert get_protocol(name) is protocol
            assert protocol.info.better == "higher is better"
        with pytest.raises(UsageError, match="maxboxacc"):
            get_protocol("maxbox")


class TestTopK:
    def test_rank_counts_from_one(self):
        assert rank_of([0.1, 0.9, 0.5], 1) == 1
        assert rank_of([0.1, 0.9, 0.5], 0) == 3

    def test_ties_and_nan_count_against_the_true_class(self):
        assert rank_of([0.5, 0.5, 0.5], 0) == 3
        assert rank_of([0.5, np.nan, 0.1], 0) == 2
        assert rank_of([np.nan, 0.5, 0.1], 0) == 3

    def test_both_the_box_and_the_class_must_be_right(self):
        rates = localization_rates([1, 1, 1, 0], [1, 3, 6, 1])
        assert (rates.gt_known, rates.top1, rates.top5) == (0.75, 0.25, 0.5)

    def test_without_classes_there_is_no_top_k(self):
        rates = localization_rates([1, 0])
        assert (rates.gt_known, rates.top1, rates.top5) == (0.5, None, None)

    def test_lengths_must_agree(self):
        with pytest.raises(ValueError, match="2 images but 1 ranks"):
            localization_rates([1, 0], [1])
