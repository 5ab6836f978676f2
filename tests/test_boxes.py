"""Boxes of a sweep against boxes worked out by hand, and against labelling each threshold on its own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from xtool.image.geometry import Geometry
from xtool.metrics.boxes import box_sweep, largest
from xtool.metrics.levels import count_levels

HUNDRED = np.linspace(0.0, 0.99, 100)


def one_by_one(heat, thresholds, fraction):
    """The oracle: scipy labels each threshold on its own."""
    found = []
    for threshold in thresholds:
        labels, _ = ndimage.label(heat > heat.dtype.type(threshold) * heat.max())
        boxes = []
        for number, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
            area = int((labels == number).sum())
            if area > heat.size * fraction:
                boxes.append((columns.start, rows.start, columns.stop, rows.stop, area))
        found.append(boxes)
    return found


def swept(heat, thresholds, fraction):
    sweep = box_sweep(heat, thresholds, fraction)
    return [
        [(*box, area) for box, area in zip(sweep.at(i).tolist(), sweep.areas[sweep.rows(i)].tolist(), strict=True)]
        for i in range(len(thresholds))
    ]


def test_boxes_are_half_open_and_in_raster_order():
    heat = np.zeros((6, 8))
    heat[4, 0:3] = 1.0
    heat[1:3, 5:8] = 0.5
    sweep = box_sweep(heat, [0.25, 0.75])
    assert sweep.at(0).tolist() == [[5, 1, 8, 3], [0, 4, 3, 5]]
    assert sweep.at(1).tolist() == [[0, 4, 3, 5]]
    assert sweep.areas.tolist() == [6, 3, 3]
    assert sweep.threshold_index.tolist() == [0, 0, 1]


def test_diagonal_neighbours_are_not_connected():
    assert box_sweep(np.eye(3), [0.5]).at(0).tolist() == [[0, 0, 1, 1], [1, 1, 2, 2], [2, 2, 3, 3]]


def test_two_peaks_part_where_the_saddle_falls_below_the_threshold():
    heat = np.array([[0.0, 1.0, 0.4, 0.8, 0.0]])
    sweep = box_sweep(heat, [0.3, 0.4, 0.8])
    assert sweep.at(0).tolist() == [[1, 0, 4, 1]]
    assert sweep.at(1).tolist() == [[1, 0, 2, 1], [3, 0, 4, 1]], "0.4 is not above 0.4"
    assert sweep.at(2).tolist() == [[1, 0, 2, 1]]


def test_a_ring_is_one_component_with_the_box_of_its_outside():
    heat = np.ones((5, 5))
    heat[1:4, 1:4] = 0.0
    heat[2, 2] = 1.0
    assert box_sweep(heat, [0.5]).at(0).tolist() == [[0, 0, 5, 5], [2, 2, 3, 3]]


def test_a_component_must_be_larger_than_the_minimal_area_not_as_large():
    heat = np.zeros((10, 10))
    heat[0, 0:2] = 1.0
    heat[5, 0:3] = 1.0
    assert box_sweep(heat, [0.5], min_area_fraction=0.02).at(0).tolist() == [[0, 5, 3, 6]]


@pytest.mark.parametrize(
    "heat",
    [
        np.zeros((4, 4)),
        np.full((4, 4), 3.0),
        -np.arange(16.0).reshape(4, 4),
        np.full((4, 4), np.nan),
        np.where(np.eye(4) > 0, np.nan, 1.0),
        np.where(np.eye(4) > 0, np.inf, 1.0),
    ],
    ids=["zero", "constant", "non-positive", "nan", "some nan", "inf"],
)
def test_a_map_that_says_nothing_gives_no_box(heat):
    sweep = box_sweep(heat, [0.0, 0.5])
    assert len(sweep) == 2
    assert sweep.boxes.shape == (0, 4)
    assert largest(sweep, 0).shape == (0, 4)


def test_largest_goes_by_area_not_by_box():
    heat = np.zeros((6, 9))
    heat[0, 0:5] = heat[0:5, 0] = 1.0  # an L of 9 pixels in a box of 25
    heat[2:6, 5:9] = 1.0  # 16 pixels
    assert largest(box_sweep(heat, [0.5]), 0).tolist() == [[5, 2, 9, 6]]


@pytest.mark.parametrize("thresholds", [[0.5, 0.4], [1.0], [-0.1], [np.nan]])
def test_thresholds_must_ascend_within_zero_and_one(thresholds):
    with pytest.raises(ValueError, match="ascending fractions"):
        box_sweep(np.eye(3), thresholds)


def test_a_threshold_out_of_range_is_an_error_not_the_last_one():
    with pytest.raises(IndexError):
        box_sweep(np.eye(3), [0.5]).at(1)


plateaus = hnp.arrays(np.float64, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.integers(-1, 5))
noise = hnp.arrays(
    np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.floats(-1, 1, width=32)
)
sweeps = st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=8).map(sorted)


@settings(deadline=None)
@given(plateaus | noise, sweeps, st.sampled_from([0.0, 0.05, 0.2]))
def test_the_sweep_equals_labelling_each_threshold(heat, thresholds, fraction):
    if heat.max() > max(heat.min(), 0):
        assert swept(heat, thresholds, fraction) == one_by_one(heat, thresholds, fraction)
    else:
        assert swept(heat, thresholds, fraction) == [[] for _ in thresholds]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("top", [1.0, 0.37, 3e-40, 2e38])
def test_a_pixel_passes_the_thresholds_strictly_below_it_to_the_last_bit(dtype, top):
    edges = HUNDRED.astype(dtype) * dtype(top)
    lower, higher = np.nextafter(edges, dtype(0)), np.nextafter(edges, dtype(np.inf))
    heat = np.stack([edges, lower, higher, np.full_like(edges, top)])
    levels = count_levels(heat, edges)[:-1].reshape(4, 101)[:, 1:]
    assert levels.tolist() == [[sum(edge < value for edge in edges) for value in row] for row in heat]


@settings(deadline=None)
@given(plateaus, st.sampled_from([1, 20, 100]))
def test_working_in_pieces_changes_nothing(heat, chunk):
    whole = swept(heat, HUNDRED, 0.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("xtool.metrics.component_tree.MAX_CELLS", chunk)
        patch.setattr("xtool.metrics.levels.BLOCK", chunk)
        assert swept(heat, HUNDRED, 0.0) == whole


@pytest.mark.parametrize("cells", [3, 7, 14])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_sweep_equals_labelling_on_smooth_maps_of_real_size(cells, dtype):
    low = np.random.default_rng(cells).random((cells, cells))
    heat = Geometry.of((160, 120), (224, 224)).map_to_image(low - low.min()).astype(dtype)
    assert swept(heat, HUNDRED, 1e-3) == one_by_one(heat, HUNDRED, 1e-3)


@pytest.mark.parametrize("shape", [(1, 1), (1, 200), (200, 1), (2, 150), (60, 90), (97, 31)])
@pytest.mark.parametrize("values", [2, 5, 40, 10**6], ids=lambda values: f"{values} values")
def test_the_sweep_equals_labelling_on_plateaus_and_ties_of_any_shape(shape, values):
    heat = np.random.default_rng(values).integers(0, values, shape).astype(np.float32)
    heat[0, 0] = values
    expected = one_by_one(heat, HUNDRED, 0.0) if heat.size > 1 else [[] for _ in HUNDRED]
    assert swept(heat, HUNDRED, 0.0) == expected


def test_nested_peaks_of_a_staircase_by_hand():
    heat = np.array([[1, 1, 1, 1, 1, 1], [1, 3, 2, 2, 4, 1], [1, 3, 2, 2, 4, 0]], np.float64)
    sweep = box_sweep(heat, [0.0, 0.25, 0.5, 0.75], 0.0)  # foreground above 0, 1, 2, 3
    assert sweep.at(0).tolist() == [[0, 0, 6, 3]]
    assert sweep.at(1).tolist() == [[1, 1, 5, 3]]
    assert sweep.at(2).tolist() == [[1, 1, 2, 3], [4, 1, 5, 3]]
    assert sweep.at(3).tolist() == [[4, 1, 5, 3]]
    assert sweep.areas.tolist() == [17, 8, 2, 2, 2]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_maps_of_tiny_and_huge_numbers_give_the_same_boxes(dtype):
    heat = np.random.default_rng(0).integers(0, 9, (12, 12)).astype(dtype)
    wanted = swept(heat, [0.1, 0.3, 0.55], 0.0)
    for scale in (2.0**-120, 2.0**-140 if dtype == np.float32 else 2.0**-1060, 2.0**100):
        assert swept(heat * dtype(scale), [0.1, 0.3, 0.55], 0.0) == wanted


def test_values_exactly_at_a_threshold_are_background():
    heat = np.arange(101, dtype=np.float64).reshape(1, 101)
    sweep = box_sweep(heat, np.arange(100) / 100, 0.0)
    expected = [int((heat > (i / 100) * 100.0).sum()) for i in range(100)]
    assert sweep.areas.tolist() == expected
