"""Pictures that bite loaders."""

from __future__ import annotations

import os
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from xtool.errors import DataError, UsageError
from xtool.image.files import Frame, open_frame, open_image, to_image

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
    with pytest.raises(DataError, match="is a folder"):
        open_image(tmp_path)


def test_what_is_no_regular_file_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path / "pipe.png", "/dev/zero"):
        for opener in (open_image, open_frame):
            with pytest.raises(DataError, match="is a pipe, a device or a socket, not a file"):
                opener(path)


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("decoder"), ZeroDivisionError("x"), AttributeError("y")])
def test_whatever_a_decoder_raises_names_the_file(error, tmp_path, monkeypatch):
    path = tmp_path / "odd.avif"
    path.write_bytes(encoded(Image.new("L", (2, 2))))

    def fails(_):
        raise error

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", fails)
    with pytest.raises(DataError, match=rf"odd\.avif: cannot be decoded \({str(error) or 'MemoryError'}\)"):
        open_image(path)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "CMYK", "L", "1", "I;16", "F"])
def test_converting_strip_by_strip_changes_nothing(mode, monkeypatch):
    noise = np.random.default_rng(0).integers(0, 255, (37, 11, 4), np.uint8)
    if mode == "I;16":
        picture = Image.fromarray(noise[..., 0].astype(np.uint16) * 257)
    elif mode == "F":
        picture = Image.fromarray(noise[..., 0].astype(np.float32) / 255)
    else:
        picture = Image.fromarray(noise, "RGBA").convert(mode)
    whole = np.asarray(to_image(picture))
    monkeypatch.setattr("xtool.image.files.STRIP", 50)  # four rows
    assert np.array_equal(np.asarray(to_image(picture)), whole)


PEAK = """
import sys
from xtool.image.files import open_image
def highest():
    # Not ru_maxrss, which begins with what the parent process had.
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
before = highest()
assert open_image(sys.argv[1]).mode == "RGB"
print((highest() - before) // 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize(
    ("mode", "ending", "pixels"),
    [
        ("I;16", "png", 75), ("L", "png", 75), ("RGBA", "png", 75), ("RGB", "jpg", 75), ("CMYK", "jpg", 75),
        ("CMYK", "tif", 50), ("F", "tif", 50), ("RGB", "webp", 37), ("RGB", "jp2", 30), ("RGB", "avif", 60),
    ],
)  # fmt: skip
def test_the_largest_pictures_take_at_most_600_mib(mode, ending, pixels, orientation, tmp_path):
    path = tmp_path / f"large.{ending}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new(mode, (10_000, pixels * 100)).save(path, exif=exif)
    done = subprocess.run([sys.executable, "-c", PEAK, str(path)], capture_output=True, text=True, check=True)
    assert int(done.stdout) <= 600


def test_huge_pictures_are_refused_by_their_header():
    data = encoded(Image.new("1", (3000, 3000)))
    with pytest.raises(DataError, match="3000 x 3000 pixels"):
        open_image(data, max_pixels=1_000_000)
    bomb = encoded(Image.new("1", (14000, 14000)))
    with pytest.raises(DataError, match="limit"):
        open_image(bomb, "bomb.png")


def test_file_objects_are_read():
    assert open_image(BytesIO(encoded(red_corner()))).size == (40, 20)


AWKWARD = {
    "grey": lambda: Image.new("L", (3, 2), 77),
    "half transparent": lambda: Image.new("RGBA", (3, 2), (0, 0, 0, 51)),
    "16 bits": lambda: Image.fromarray(np.array([[0, 257, 32896, 65535]], np.uint16)),
    "black and white": lambda: Image.new("1", (3, 2), 1),
    "palette": lambda: Image.new("RGB", (3, 2), (9, 200, 30)).convert("P"),
}


@pytest.mark.parametrize("kind", AWKWARD)
def test_a_picture_in_memory_is_treated_as_its_file_is(kind):
    image = AWKWARD[kind]()
    shown = to_image(image)
    assert shown.mode == "RGB"
    assert shown.tobytes() == open_image(encoded(image)).tobytes()


def test_a_picture_of_floats_is_treated_as_its_file_is():
    image = Image.fromarray(np.array([[0, 0.2, 1]], np.float32))
    assert [to_image(image).getpixel((x, 0))[0] for x in range(3)] == [0, 51, 255]
    assert to_image(image).tobytes() == open_image(encoded(image, "TIFF")).tobytes()
    with pytest.raises(DataError, match="no known scale"):
        to_image(Image.fromarray(np.array([[0, 7.0]], np.float32)))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_in_memory_is_turned_upright_and_left_as_it_was(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(red_corner(), exif=exif)
    with Image.open(BytesIO(data)) as image:
        before = image.tobytes()
        assert to_image(image).tobytes() == open_image(data).tobytes()
        assert image.tobytes() == before


def test_a_broken_file_opened_by_pillow_is_told_by_name(tmp_path):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    path = tmp_path / "half.jpg"
    path.write_bytes(encoded(noise, "JPEG")[:1500])
    with Image.open(path) as image, pytest.raises(DataError, match=r"half\.jpg: cannot be decoded"):
        to_image(image)


def test_arrays_of_every_kind_give_the_same_colours():
    colours = np.array([[[0, 51, 255], [255, 0, 102]]] * 5, np.uint8)
    ways = [
        colours, colours / 255, (colours / 255).astype(np.float32), colours.astype(np.uint16) * 257,
        torch.tensor(colours), torch.tensor(colours).permute(2, 0, 1), torch.tensor(colours / 255).half(),
    ]  # fmt: skip
    for way in ways:
        assert [to_image(way).getpixel((x, 0)) for x in range(2)] == [(0, 51, 255), (255, 0, 102)]
    assert to_image(np.array([[0, 51]], np.uint8)).getpixel((1, 0)) == (51, 51, 51)
    assert to_image(torch.zeros(1, 5, 7)).size == (7, 5)
    # Black at a fifth of full opacity, on white.
    assert to_image(np.array([[[0, 0, 0, 0.2]]])).getpixel((0, 0)) == (204, 204, 204)


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (np.zeros((2, 8, 8, 3)), "several images; give a list"),
        (torch.zeros(1, 3, 8, 8), "several images; give a list"),
        (np.zeros((3, 8, 8)), r"shape \(3, 8, 8\) is not an image"),
        (np.zeros((0, 8)), "not an image"),
        (np.zeros(8), "not an image"),
        (np.zeros((8, 8), np.int64), "int64 has no known scale"),
        (np.full((8, 8), 1.5), "between 0 and 1"),
        (np.full((8, 8), -0.5), "normalised pixels"),
        (np.full((8, 8), np.nan), "between 0 and 1"),
        (torch.zeros(3, 8, 3), r"\[C, H, W\] or \[H, W, C\]"),
        (torch.zeros(5, 8, 9), r"\[C, H, W\] or \[H, W, C\]"),
        ("http://example.org/a.jpg", "is a URL"),
        ("data:image/png;base64,AAAA", "is a URL"),
        (None, "NoneType; give the path of a file"),
        (3, "int; give the path of a file"),
    ],
)
def test_what_is_no_picture_is_refused_in_words(source, told):
    with pytest.raises(UsageError, match=told):
        to_image(source)


def test_a_drive_letter_is_no_url():
    with pytest.raises(DataError, match="no such file"):
        to_image("C:/nothing/here.png")


@pytest.mark.skipif(not DATA.is_dir(), reason="no real photographs in ../shared/data")
def test_real_photographs_open_in_rgb():
    for path in sorted(DATA.rglob("*.JP*G")) + sorted(DATA.rglob("*.jpg")):
        image = open_image(path)
        assert image.mode == "RGB"
        assert open_frame(path).size == image.size
