"""Pictures that bite loaders."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from xtool.errors import DataError
from xtool.image.files import Frame, open_frame, open_image

DATA = Path(__file__).parents[1] / "../shared/data"


def encoded(image, kind="PNG", **options):
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def red_corner(size=(40, 20)):
    """White, with the upper left 10 x 5 pixels red."""
    image = Image.new("RGB", size, "white")
    image.paste("red", (0, 0, 10, 5))
    return image


def test_rgb_comes_back_as_it_was():
    image = open_image(encoded(red_corner()))
    assert image.mode == "RGB"
    assert image.tobytes() == red_corner().tobytes()


def test_grey_becomes_rgb():
    assert open_image(encoded(Image.new("L", (3, 3), 77))).getpixel((1, 1)) == (77, 77, 77)


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_keeps_its_colours(kind):
    # Pillow writes CMYK JPEG as Adobe does, inverted and marked so.
    data = encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), kind)
    if kind == "JPEG":
        assert b"Adobe" in data
    red, green, blue = open_image(data).getpixel((8, 8))
    assert red > 200
    assert max(green, blue) < 60


def test_palettes_are_resolved_and_transparency_lies_on_white():
    image = Image.new("P", (4, 4), 0)
    image.putpalette([255, 0, 255, 0, 128, 0])
    image.putpixel((1, 1), 1)
    assert open_image(encoded(image)).getpixel((0, 0)) == (255, 0, 255)
    shown = open_image(encoded(image, transparency=0))
    assert shown.getpixel((0, 0)) == (255, 255, 255)
    assert shown.getpixel((1, 1)) == (0, 128, 0)


def test_half_transparent_pixels_are_mixed_with_white():
    assert open_image(encoded(Image.new("RGBA", (2, 2), (0, 0, 0, 51)))).getpixel((0, 0)) == (204, 204, 204)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_not_clipped(kind):
    ramp = np.array([[0, 257, 32896, 65535]], np.uint16)
    image = open_image(encoded(Image.fromarray(ramp), kind))
    assert [image.getpixel((x, 0))[0] for x in range(4)] == [0, 1, 128, 255]


def test_numbers_of_unknown_scale_are_refused():
    data = encoded(Image.fromarray(np.array([[0, 70000]], np.int32)), "TIFF")
    with pytest.raises(DataError, match="no known scale"):
        open_image(data)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])  # Pillow turns TIFFs by itself
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotations_are_applied_to_pixels_and_boxes_alike(orientation, kind):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(red_corner(), kind, exif=exif)
    upright = open_image(data)
    frame = open_frame(data)
    assert frame == Frame((40, 20), orientation)
    assert frame.size == upright.size
    x0, y0, x1, y1 = frame.upright([[0, 0, 10, 5]])[0].astype(int)
    red = np.asarray(upright)[..., 1] == 0
    rows, columns = np.nonzero(red)
    assert (x0, y0, x1, y1) == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)


def test_nonsense_in_exif_is_upright():
    exif = Image.Exif()
    exif[0x0112] = 77
    assert open_frame(encoded(red_corner(), exif=exif)).orientation == 1


def test_missing_files_are_named(tmp_path):
    for opener in (open_image, open_frame):
        with pytest.raises(DataError, match="no such file") as error:
            opener(tmp_path / "nothing.jpg")
        assert error.value.file == str(tmp_path / "nothing.jpg")


def test_truncated_files_are_named(tmp_path):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    path = tmp_path / "half.jpg"
    path.write_bytes(encoded(noise, "JPEG")[:1500])
    with pytest.raises(DataError, match=r"half\.jpg: cannot be decoded \(.*truncated"):
        open_image(path)


@pytest.mark.parametrize("data", [b"", b"not an image", b"\x89PNG\r\n\x1a\n" + b"\0" * 40, b"\xff\xd8\xff\xe0"])
def test_undecodable_files_are_named(data, tmp_path):
    path = tmp_path / "bad.png"
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"bad\.png: "):
        open_image(path)


def test_a_folder_is_no_picture(tmp_path):
    with pytest.raises(DataError, match="cannot be decoded"):
        open_image(tmp_path)


def test_huge_pictures_are_refused_by_their_header():
    data = encoded(Image.new("1", (3000, 3000)))
    with pytest.raises(DataError, match="3000 x 3000 pixels"):
        open_image(data, max_pixels=1_000_000)
    bomb = encoded(Image.new("1", (14000, 14000)))
    with pytest.raises(DataError, match="limit"):
        open_image(bomb, "bomb.png")


def test_file_objects_are_read():
    assert open_image(BytesIO(encoded(red_corner()))).size == (40, 20)


@pytest.mark.skipif(not DATA.is_dir(), reason="no real photographs in ../shared/data")
def test_real_photographs_open_in_rgb():
    for path in sorted(DATA.rglob("*.JP*G")) + sorted(DATA.rglob("*.jpg")):
        image = open_image(path)
        assert image.mode == "RGB"
        assert open_frame(path).size == image.size
