"""Uploads are strangers' files."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from xtool.errors import DataError
from xtool_app.pictures import MAX_MEGABYTES, MAX_SIDE, open_upload


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def test_a_photo_taken_sideways_stands_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = open_upload(encoded(Image.new("RGB", (40, 20), "red"), "JPEG", exif=exif.tobytes()), "phone.jpg")
    assert picture.image.size == picture.full_size == (20, 40)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_the_content_decides_and_not_the_name(kind: str) -> None:
    assert open_upload(encoded(Image.new("RGB", (30, 20)), kind), "letter.docx").image.size == (30, 20)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<svg onload=alert(1)>",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n",  # Pillow would start Ghostscript
        b"GIF89a",
        b"\x89PNG\r\n\x1a\n" + b"\0" * 40,
        encoded(Image.new("RGB", (64, 64)), "PNG")[:60],
    ],
)
def test_what_is_no_picture_is_refused_in_words(content: bytes) -> None:
    with pytest.raises(DataError, match=r"holiday\.png"):
        open_upload(content, "holiday.png")


def test_a_decompression_bomb_is_refused_before_it_is_decoded() -> None:
    side = 60_000  # 3.6 gigapixels in some bytes
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 1000)), (b"IEND", b"")]
    bomb = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
    with pytest.raises(DataError, match="limit"):
        open_upload(bomb, "bomb.png")


def test_a_file_beyond_the_limit_is_refused() -> None:
    with pytest.raises(DataError, match="20 MB"):
        open_upload(b"\0" * (MAX_MEGABYTES * 2**20 + 1), "film.mov")


def test_a_large_picture_is_shrunk_and_knows_its_full_size() -> None:
    picture = open_upload(encoded(Image.new("RGB", (3200, 1600)), "PNG"), "large.png")
    assert picture.image.size == (MAX_SIDE, MAX_SIDE // 2)
    assert picture.full_size == (3200, 1600)
    assert picture.scale == (2.0, 2.0)


def test_the_same_content_is_the_same_picture_whatever_it_is_called() -> None:
    content = encoded(Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3)), "PNG")
    assert open_upload(content, "a.png").digest == open_upload(content, "b.png").digest
