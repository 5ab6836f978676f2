"""Localization protocols against boxes and overlaps worked out by hand."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from xtool.errors import SetupError, UsageError
from xtool.image.geometry import Geometry
from xtool.metrics.image_map import ImageMap, min_max
from xtool.metrics.iou import box_iou
from xtool.metrics.protocols import ANYBOX, CAM2016, MAXBOXACC, MAXBOXACCV2, ONEBOX, PROTOCOLS, get_protocol
from xtool.metrics.topk import rank_of, top_k
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


class TestAnyBox:
    def test_any_component_with_any_true_box_counts(self):
        low = blank()
        low[10:20, 10:30] = 1.0
        low[100:150, 100:200] = 0.5
        ious = ANYBOX.best_ious(ImageMap(low, SQUARE), [[100, 100, 200, 150], [0, 0, 5, 5]])
        assert ious.shape == (100,)
        assert ious[49] == 1, "0.5 is above 0.49"
        assert ious[50] == 0, "0.5 is not above 0.5"

    def test_small_components_are_not_boxes(self):
        low = blank()
        low[0:5, 0:10] = 1.0  # 50 of 50176 pixels: less than a thousandth
        assert ANYBOX.best_ious(ImageMap(low, SQUARE), [[0, 0, 10, 5]]).max() == 0

    def test_a_map_that_says_nothing_finds_nothing(self):
        for low in (np.zeros((7, 7)), np.full((7, 7), 2.0), np.full((7, 7), np.nan)):
            assert ANYBOX.best_ious(ImageMap(low, SQUARE), [[0, 0, 224, 224]]).max() == 0

    def test_exactly_half_is_not_found(self):
        assert ANYBOX.choose(np.full((3, 100), 0.5)).accuracy == 0
        assert ANYBOX.choose(np.full((3, 100), 0.51)).accuracy == 1

    def test_boxes_are_those_of_the_image_not_of_the_input(self):
        geometry = Geometry.of((448, 112), (224, 224), "squash")
        low = blank()
        low[50:150, 100:150] = 1.0  # in the image: x 200..300, y 25..75
        assert ANYBOX.best_ious(ImageMap(low, geometry), [[200, 25, 300, 75]])[50] == 1


class TestOneBox:
    def test_only_the_component_with_most_pixels_counts(self):
        low = blank()
        low[10:20, 10:30] = 1.0  # 200 pixels
        low[100:150, 100:200] = 0.5  # 5000
        image_map = ImageMap(low, SQUARE)
        small, large = [[10, 10, 30, 20]], [[100, 100, 200, 150]]
        assert (ONEBOX.best_ious(image_map, small)[[0, 49, 50]]).tolist() == [0, 0, 1], "at 0.5 the large one is gone"
        assert (ONEBOX.best_ious(image_map, large)[[0, 49, 50]]).tolist() == [1, 1, 0]
        assert ONEBOX.boxes(image_map, 0.3).tolist() == large

    def test_pixels_count_and_not_the_area_of_the_box(self):
        low = blank()
        low[10, 10:210] = low[10:210, 10] = 1.0  # an L of 399 pixels around a box of 40,000
        low[100:130, 100:130] = 1.0  # 900
        assert ONEBOX.boxes(ImageMap(low, SQUARE), 0.5).tolist() == [[100, 100, 130, 130]]

    def test_of_equals_the_first_in_raster_order_counts(self):
        low = blank()
        low[50:60, 100:110] = low[40:50, 150:160] = 1.0
        assert ONEBOX.boxes(ImageMap(low, SQUARE), 0.5).tolist() == [[150, 40, 160, 50]]

    def test_exactly_half_is_found(self):
        assert ONEBOX.choose(np.full((3, 100), 0.5)).accuracy == 1
        assert ONEBOX.choose(np.full((3, 100), 0.49)).accuracy == 0

    def test_a_map_that_says_nothing_finds_nothing(self):
        for low in (blank(), np.full((7, 7), np.nan, np.float32)):
            assert ONEBOX.best_ious(ImageMap(low, SQUARE), [[0, 0, 224, 224]]).max() == 0


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


def random_maps():
    """Maps, images and true boxes of all sorts: smooth and rough, tall and wide, every fit, small images too."""
    random = np.random.default_rng(11)
    for number in range(24):
        fit = ("squash", "crop", "pad")[number % 3]
        width, height = (int(side) for side in random.integers(60, 420, 2))
        cells = int(random.choice([4, 7, 14]))
        low = random.normal(size=(cells, cells)).astype(np.float32) ** (1 + number % 2)
        x0, y0 = random.uniform(0, 0.6, 2) * (width, height)
        x1, y1 = (x0, y0) + random.uniform(0.1, 0.4, 2) * (width, height)
        truth = [[x0, y0, x1, y1], [0.0, 0.0, width / 2, height / 3]]
        yield ImageMap(low, Geometry.of((width, height), (224, 224), fit)), np.array(truth)


def overlap_by_loop(box, other, extra):
    """IoU of two boxes as anybody would write it down; ``extra`` is 1 where the last pixel counts in."""
    across = min(box[2], other[2]) - max(box[0], other[0]) + extra
    down = min(box[3], other[3]) - max(box[1], other[1]) + extra
    both = max(across, 0) * max(down, 0)
    areas = [(b[2] - b[0] + extra) * (b[3] - b[1] + extra) for b in (box, other)]
    return both / (sum(areas) - both)


def on_the_grid_of_wsol(box, size, *, drawn):
    """A box in the reference's convention: a drawn one's cells of 224², a true one's corners cut to integers."""
    scale = [224 / size[0], 224 / size[1]] * 2
    if drawn:
        left, top, right, bottom = (round(corner * factor) for corner, factor in zip(box, scale, strict=True))
        return left, top, right - 1, bottom - 1
    inclusive = (box[0], box[1], box[2] - 1, box[3] - 1)
    return tuple(int(corner * factor) for corner, factor in zip(inclusive, scale, strict=True))


class TestDrawnBoxes:
    """What is drawn is what was scored."""

    @pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
    def test_the_overlap_of_the_drawn_boxes_is_the_recorded_one_at_every_threshold(self, protocol):
        some = 0
        for image_map, truth in random_maps():
            size = image_map.geometry.image_size
            recorded = protocol.best_ious(image_map, truth)
            every = range(0, len(recorded), max(1, len(recorded) // 50))
            for index in every:
                drawn = protocol.boxes(image_map, float(protocol.thresholds[index]))
                if protocol.name in ("anybox", "onebox"):
                    pairs = [overlap_by_loop(box, other, 0) for box in drawn.tolist() for other in truth.tolist()]
                else:
                    found = [on_the_grid_of_wsol(box, size, drawn=True) for box in drawn.tolist()]
                    true = [on_the_grid_of_wsol(box, size, drawn=False) for box in truth.tolist()]
                    pairs = [overlap_by_loop(box, other, 1) for box in found for other in true]
                assert max(pairs, default=0.0) == pytest.approx(recorded[index], abs=1e-12)
                some += bool(pairs)
        assert some >= 24

    @pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
    def test_drawn_boxes_lie_in_the_image(self, protocol):
        for image_map, _ in random_maps():
            width, height = image_map.geometry.image_size
            boxes = protocol.boxes(image_map, 0.2)
            assert (boxes[:, 2:] > boxes[:, :2]).all()
            assert (boxes >= 0).all()
            assert (boxes <= np.array((width, height, width, height)) + 1e-9).all()

    def test_a_drawn_contour_covers_the_cells_that_the_reference_counts(self):
        low = blank()
        low[50:100, 20:120] = 1.0
        geometry = Geometry.of((448, 112), (224, 224))
        assert CAM2016.boxes(ImageMap(low, geometry), 0.2).tolist() == [[40, 25, 242, 50.5]]

    def test_a_threshold_written_in_decimals_is_the_sweep_s_own(self):
        # 0.29 * 100 is 28.999…, but the sweep's value is a rounding error above 0.29.
        low = blank()
        low[10:110, 10:110] = 29 / 255
        low[50:60, 50:60] = 100 / 255
        low[0, 0] = 1.0
        image_map = ImageMap(low, SQUARE)
        for threshold in (0.29, 0.113, 0.7):
            index = MAXBOXACC.index_of(threshold)
            recorded = MAXBOXACC.best_ious(image_map, [[10, 10, 111, 111]])[index]
            drawn = MAXBOXACC.boxes(image_map, threshold)
            assert MAXBOXACC.ious(drawn, [[10, 10, 111, 111]], (224, 224)).max() == recorded

    def test_thresholds_out_of_range_are_refused(self):
        with pytest.raises(UsageError, match=r"\[0, 1\)"):
            ANYBOX.boxes(ImageMap(blank(), SQUARE), 1.0)


class TestDataSet:
    def test_accuracy_first_then_the_best_threshold(self):
        # Each image has a threshold that finds it, but no threshold finds more than two of the three.
        ious = np.zeros((3, 100), np.float32)
        ious[0, 10] = ious[1, 20] = ious[1, 30] = ious[2, 30] = 0.9
        choice = ANYBOX.choose(ious)
        assert choice.accuracy == pytest.approx(2 / 3)
        assert choice.thresholds == (0.3,)
        assert choice.box_iou == pytest.approx(0.6)
        assert ANYBOX.credit(ious, choice).tolist() == [0, 1, 1]

    def test_a_given_threshold_is_taken(self):
        ious = np.zeros((2, 100), np.float32)
        ious[0, 60] = ious[0, 20] = ious[1, 20] = 0.9
        choice = ANYBOX.choose(ious, threshold=0.6)
        assert (choice.accuracy, choice.thresholds) == (0.5, (0.6,))
        with pytest.raises(UsageError, match=r"no threshold 0\.605"):
            ANYBOX.choose(ious, threshold=0.605)

    def test_v2_has_a_best_threshold_for_each_overlap(self):
        ious = np.zeros((2, 1000))
        ious[:, 100] = 0.3  # found at 30 only, in both images
        ious[0, 500] = 0.7  # found at all three, in one
        choice = MAXBOXACCV2.choose(ious)
        assert choice.indices == (100, 500, 500)
        assert choice.accuracy == pytest.approx((1 + 0.5 + 0.5) / 3)
        assert MAXBOXACCV2.credit(ious, choice) == pytest.approx([1, 1 / 3])

    def test_the_limit_itself_counts_in_wsol(self):
        assert MAXBOXACC.choose(np.full((1, 1000), 0.5)).accuracy == 1
        assert MAXBOXACCV2.choose(np.full((1, 1000), 7 / 10)).accuracy == 1

    def test_a_hair_above_the_limit_is_above_it(self):
        # Five digits would make a half of it, which is not found under the strict protocol.
        truth = [[0, 0, 1000, 1000]]
        (iou,) = box_iou([[0, 0, 1000, 500.00396]], truth)[0].tolist()
        assert iou == pytest.approx(0.50000396, abs=1e-12)
        assert ANYBOX.choose(np.full((1, 100), iou)).accuracy == 1

    def test_wrong_shapes_and_no_images_are_refused(self):
        for ious in (np.zeros((2, 99)), np.zeros((0, 100)), np.zeros(100)):
            with pytest.raises(UsageError, match="anybox needs"):
                ANYBOX.choose(ious)

    def test_protocols_say_what_they_are(self):
        for name, protocol in PROTOCOLS.items():
            assert get_protocol(name) is protocol
            assert protocol.info.better == "higher is better"
        with pytest.raises(UsageError, match="maxboxacc"):
            get_protocol("maxbox")

    def test_runs_under_the_earlier_name_are_still_read(self):
        assert get_protocol("vlscore") is ANYBOX


class TestTopK:
    def test_rank_counts_from_one(self):
        assert rank_of([0.1, 0.9, 0.5], 1) == 1
        assert rank_of([0.1, 0.9, 0.5], 0) == 3

    def test_ties_and_nan_count_against_the_true_class(self):
        assert rank_of([0.5, 0.5, 0.5], 0) == 3
        assert rank_of([0.5, np.nan, 0.1], 0) == 2
        assert rank_of([np.nan, 0.5, 0.1], 0) == 3

    def test_both_the_box_and_the_class_must_be_right(self):
        found, ranks = [1, 1, 1, 0], [1, 3, 6, 1]
        assert top_k(found, ranks, 1).tolist() == [1, 0, 0, 0]
        assert top_k(found, ranks, 5).tolist() == [1, 1, 0, 0]

    def test_lengths_must_agree(self):
        with pytest.raises(ValueError, match="2 images but 1 ranks"):
            top_k([1, 0], [1], 1)
