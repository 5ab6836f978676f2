"""Points, boxes and maps through squash, crop and pad, and whether pixels really go where the numbers say."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from xtool.image.geometry import FITS, Geometry

sizes = st.tuples(st.integers(1, 3000), st.integers(1, 3000))
inputs = st.tuples(st.integers(1, 600), st.integers(1, 600))
fits = st.sampled_from(FITS)
fractions = st.lists(st.floats(-0.5, 1.5), min_size=4, max_size=4)


def test_squash_stretches_each_axis():
    geometry = Geometry.of((500, 250), (100, 200), "squash")
    assert geometry.boxes_to_input([50, 50, 250, 100]).tolist() == [20, 20, 100, 40]
    assert geometry.visible == (0, 0, 500, 250)


def test_crop_sees_the_centre():
    geometry = Geometry.of((400, 200), (100, 100), "crop")
    assert geometry.visible == (100, 0, 300, 200)
    assert geometry.boxes_to_input([0, 0, 200, 100]).tolist() == [-50, 0, 50, 50]
    assert geometry.boxes_to_input([0, 0, 200, 100], clip=True).tolist() == [0, 0, 50, 50]


def test_pad_sees_everything():
    geometry = Geometry.of((400, 200), (100, 100), "pad")
    assert geometry.visible == (0, 0, 400, 200)
    assert geometry.boxes_to_input([0, 0, 400, 200]).tolist() == [0, 25, 100, 75]


@settings(deadline=None)
@given(sizes, inputs, fits, fractions)
def test_there_and_back_is_where_one_started(size, room, fit, at):
    geometry = Geometry.of(size, room, fit)
    box = np.array(at) * [*size, *size]
    assert geometry.boxes_to_image(geometry.boxes_to_input(box)) == pytest.approx(box, abs=1e-6)
    points = box.reshape(2, 2)
    assert geometry.points_to_image(geometry.points_to_input(points)) == pytest.approx(points, abs=1e-6)


@settings(deadline=None)
@given(sizes, inputs, fits)
def test_borders_go_to_borders(size, room, fit):
    geometry = Geometry.of(size, room, fit)
    x0, y0, x1, y1 = geometry.boxes_to_input([0, 0, *size])
    rows, columns = room
    inside = (x0 >= -1e-6, y0 >= -1e-6, x1 <= columns + 1e-6, y1 <= rows + 1e-6)
    if fit == "squash":
        assert (x0, y0, x1, y1) == pytest.approx((0, 0, columns, rows))
    if fit == "pad":
        assert all(inside)
        assert x1 - x0 == pytest.approx(columns) or y1 - y0 == pytest.approx(rows)
        assert [x0, y0, x1, y1] == pytest.approx(np.round([x0, y0, x1, y1]), abs=1e-9), "whole pixels"
    if fit == "crop":
        assert x1 - x0 >= columns - 1e-6
        assert y1 - y0 >= rows - 1e-6
        assert (x0 + x1, y0 + y1) == pytest.approx((columns, rows)), "centred"


@settings(deadline=None)
@given(sizes, inputs, fits, fractions)
def test_areas_scale_by_the_two_scales(size, room, fit, at):
    geometry = Geometry.of(size, room, fit)
    box = np.array(at) * [*size, *size]
    mapped = geometry.boxes_to_input(box)
    area = (box[2] - box[0]) * (box[3] - box[1])
    mapped_area = (mapped[2] - mapped[0]) * (mapped[3] - mapped[1])
    assert mapped_area == pytest.approx(area * geometry.scale[0] * geometry.scale[1], rel=1e-6, abs=1e-3)


@settings(deadline=None)
@given(
    st.tuples(st.integers(8, 300), st.integers(8, 300)),
    st.tuples(st.integers(8, 80), st.integers(8, 80)),
    fits,
    st.data(),
)
def test_a_patch_in_the_image_is_found_where_the_geometry_says(size, room, fit, data):
    geometry = Geometry.of(size, room, fit)
    x0, y0, x1, y1 = geometry.visible
    # At least four input pixels each way and inside the visible part, so that its centre can be measured.
    wide, high = 4 / geometry.scale[0], 4 / geometry.scale[1]
    wide, high = int(np.ceil(max(wide, 2))), int(np.ceil(max(high, 2)))
    left, top = int(np.ceil(x0)), int(np.ceil(y0))
    assume(left + wide <= x1 and top + high <= y1)
    left = data.draw(st.integers(left, int(x1) - wide))
    top = data.draw(st.integers(top, int(y1) - high))
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    pixels[top : top + high, left : left + wide] = 255
    seen = np.asarray(geometry.fit_image(Image.fromarray(pixels)), np.float64)[..., 0]
    assert seen.shape == room
    expected = geometry.boxes_to_input([left, top, left + wide, top + high])
    rows, columns = np.nonzero(seen > 127)
    found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    assert found == pytest.approx(expected, abs=1.01)
    # The centre of mass is finer than a pixel; where the patch touches the border, bicubic cuts its own overshoot.
    if (expected[:2] > 3).all() and expected[2] < room[1] - 3 and expected[3] < room[0] - 3:
        centre = [(seen.sum(axis) @ (np.arange(seen.shape[1 - axis]) + 0.5)) / seen.sum() for axis in (0, 1)]
        assert centre == pytest.approx([(expected[0] + expected[2]) / 2, (expected[1] + expected[3]) / 2], abs=0.3)


@settings(deadline=None)
@given(sizes.filter(lambda s: s[0] * s[1] < 200_000), inputs.filter(lambda s: s[0] * s[1] < 10_000))
def test_padding_has_the_given_colour_and_the_image_none_of_it(size, room):
    geometry = Geometry.of(size, room, "pad")
    picture = np.asarray(geometry.fit_image(Image.new("RGB", size, (200, 0, 0)), fill=(1, 2, 3)))
    x0, y0, x1, y1 = np.round(geometry.boxes_to_input([0, 0, *size])).astype(int)
    inside = np.zeros(room, bool)
    inside[y0:y1, x0:x1] = True
    assert (picture[inside] == (200, 0, 0)).all()
    assert (picture[~inside] == (1, 2, 3)).all()


@pytest.mark.parametrize("size", [(1, 3000), (3000, 1), (10, 4000)])
@pytest.mark.parametrize("fit", FITS)
def test_extreme_shapes_work(size, fit):
    geometry = Geometry.of(size, (32, 48), fit)
    assert geometry.fit_image(Image.new("RGB", size, "white")).size == (48, 32)
    assert geometry.map_to_image(np.ones((2, 2))).shape == (size[1], size[0])
    assert geometry.map_to_image(np.ones((2, 2))).max() == pytest.approx(1)


@settings(deadline=None)
@given(
    st.tuples(st.integers(1, 200), st.integers(1, 200)),
    st.tuples(st.integers(1, 20), st.integers(1, 20)),
    st.integers(0, 1000),
)
def test_squashed_maps_are_resized_as_torch_does(size, cells, seed):
    low = np.random.default_rng(seed).standard_normal((2, *cells)).astype(np.float32)
    ours = Geometry.of(size, (224, 224), "squash").map_to_image(low)
    wanted = torch.nn.functional.interpolate(
        torch.from_numpy(low)[None], (size[1], size[0]), mode="bilinear", align_corners=False
    )[0]
    assert ours.dtype == np.float32
    assert ours == pytest.approx(wanted.numpy(), abs=1e-4)


@settings(deadline=None)
@given(sizes.filter(lambda s: s[0] * s[1] < 100_000), inputs, fits, st.integers(1, 9), st.integers(1, 9))
def test_a_constant_map_stays_constant_where_the_model_looked(size, room, fit, height, width):
    geometry = Geometry.of(size, room, fit)
    full = geometry.map_to_image(np.full((height, width), 2.0))
    x0, y0, x1, y1 = geometry.visible
    across, down = np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5
    seen = ((down > y0 + 1e-6) & (down < y1 - 1e-6))[:, None] & ((across > x0 + 1e-6) & (across < x1 - 1e-6))
    unseen = ((down < y0 - 0.501) | (down > y1 + 0.501))[:, None] | ((across < x0 - 0.501) | (across > x1 + 0.501))
    assert full[seen] == pytest.approx(2.0)
    assert (full[unseen] == 0).all()


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("size", [(400, 200), (150, 330)])
def test_a_hot_cell_lights_up_the_image_where_the_cell_looks(fit, size):
    geometry = Geometry.of(size, (70, 140), fit)
    low = np.zeros((7, 14))
    low[3, 6] = 1
    full = geometry.map_to_image(low)
    row, column = np.unravel_index(full.argmax(), full.shape)
    x, y = geometry.points_to_image([65, 35])  # the centre of cell (3, 6), of 10 x 10 input pixels
    assert (column + 0.5, row + 0.5) == pytest.approx((x, y), abs=1.0)


@settings(deadline=None)
@given(
    sizes.filter(lambda s: s[0] * s[1] < 40_000),
    inputs.filter(lambda s: s[0] * s[1] < 40_000),
    fits,
    st.integers(0, 99),
)
def test_averaging_into_the_input_keeps_what_is_visible(size, room, fit, seed):
    geometry = Geometry.of(size, room, fit)
    mask = np.random.default_rng(seed).random((size[1], size[0])) < 0.3
    mapped = geometry.map_to_input(mask)
    assert mapped.shape == room
    x0, y0, x1, y1 = geometry.visible
    across = np.clip(np.minimum(np.arange(size[0]) + 1, x1) - np.maximum(np.arange(size[0]), x0), 0, None)
    down = np.clip(np.minimum(np.arange(size[1]) + 1, y1) - np.maximum(np.arange(size[1]), y0), 0, None)
    visible_area = down @ mask @ across
    assert mapped.sum() == pytest.approx(visible_area * geometry.scale[0] * geometry.scale[1], rel=1e-3, abs=1e-3)


def test_nonsense_is_refused():
    with pytest.raises(ValueError, match="positive"):
        Geometry.of((0, 5), (224, 224))
    with pytest.raises(ValueError, match="unknown fit"):
        Geometry.of((5, 5), (224, 224), "stretch")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="this geometry is for"):
        Geometry.of((5, 5), (224, 224)).fit_image(Image.new("RGB", (6, 5)))
    with pytest.raises(ValueError, match="the image is"):
        Geometry.of((5, 5), (224, 224)).map_to_input(np.zeros((6, 5)))
