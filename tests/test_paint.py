"""How maps, boxes and verdicts look: as strong in every format, pale where nothing was found, legible in any shape."""

from __future__ import annotations

import base64
import re
import struct
import time
import zlib
from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from xtool.errors import RunError, UsageError
from xtool.paint.embed import heat_uri
from xtool.paint.figure import maps_figure, panel_inches, wrapped
from xtool.paint.heat import blended, check_colour_map, heat_layer
from xtool.paint.panel import EMPTY, MapPanel, overlay
from xtool.paint.save import check_target, figure_png, save_figure
from xtool.paint.verdicts import Verdict

NO_BOXES = np.zeros((0, 4), int)
GREY = 100
HOT = (116, 28, 27)
"""Turbo's last colour (122, 4, 3; Mikhailov 2019) at 75 % over grey 100: 0.75 · 122 + 25 = 116.5, and so on."""


def photo(size: tuple[int, int] = (120, 80)) -> Image.Image:
    """Grey at the left, noise at the right, so that no writer makes a palette of it."""
    values = np.full((size[1], size[0], 3), GREY, np.uint8)
    values[:, size[0] // 2 :] = np.random.default_rng(0).integers(0, 255, (size[1], size[0] - size[0] // 2, 3))
    return Image.fromarray(values)


def panel(
    verdict: Verdict = Verdict.PRESENT, heat: float = 1.0, boxes: object = NO_BOXES, title: str = "m"
) -> MapPanel:
    return MapPanel(heat=np.full((80, 120), heat, np.float32), boxes=np.asarray(boxes), title=title, verdict=verdict)


def figure(*panels: MapPanel, image: Image.Image | None = None, text: str = "dog"):
    return maps_figure(image or photo(), [text], [panels], note="a note")


def share(values: np.ndarray, colour: tuple[int, int, int]) -> float:
    """The share of pixels [H, W, 3] that have the colour, give or take rounding."""
    return float((np.abs(values.astype(int) - colour).max(axis=-1) <= 1).mean())


def svg_images(path: Path) -> list[np.ndarray]:
    """Pictures in an SVG as they are seen on white: their own alpha, times what the elements around them say."""
    seen = []

    def walk(element: ET.Element, opacity: float) -> None:
        style = dict(part.split(":") for part in element.get("style", "").replace(" ", "").split(";") if ":" in part)
        opacity *= float(element.get("opacity", 1)) * float(style.get("opacity", 1))
        if element.tag.endswith("}image"):
            content = element.get("{http://www.w3.org/1999/xlink}href", "").split(",")[1]
            rgba = np.asarray(Image.open(BytesIO(base64.b64decode(content))).convert("RGBA"), float)
            alpha = rgba[..., 3:] / 255 * opacity
            seen.append(rgba[..., :3] * alpha + 255 * (1 - alpha))
        for child in element:
            walk(child, opacity)

    walk(ET.parse(path).getroot(), 1.0)
    return seen


def pdf_images(path: Path) -> list[np.ndarray]:
    """RGB pictures in a PDF. Their rows are filtered as those of a PNG, so a PNG around them decodes them."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    found = []
    for match in re.finditer(
        rb"<<((?:(?!stream).)*?/Subtype /Image.*?)>>\s*stream\r?\n(.*?)endstream", path.read_bytes(), re.DOTALL
    ):
        told, content = match.groups()
        width, height = (int(re.search(rb"/%s (\d+)" % key, told)[1]) for key in (b"Width", b"Height"))  # type: ignore[index]
        if b"/Indexed" in told:
            continue  # the colour bar
        assert b"/SMask" not in told, "the picture has alpha of its own"
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        raw = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", content) + chunk(b"IEND", b"")
        found.append(np.asarray(Image.open(BytesIO(raw))))
    return found


def test_heat_is_as_strong_in_svg_and_pdf_as_in_png_and_as_computed_by_hand(tmp_path: Path) -> None:
    drawn = figure(panel())
    png, svg, pdf = (save_figure(drawn, tmp_path / f"out.{ending}") for ending in ("png", "svg", "pdf"))
    # In the PNG half of one of two panels is hot; title, bar and margins take their share.
    assert share(np.asarray(Image.open(png).convert("RGB")), HOT) > 0.08
    assert max(share(image, HOT) for image in svg_images(svg)) == pytest.approx(0.5, abs=0.02)
    assert max(share(image, HOT) for image in pdf_images(pdf)) == pytest.approx(0.5, abs=0.02)
    # Nothing else that the PDF draws is half transparent: strengths are 0 (not filled) or 1.
    assert {float(value) for value in re.findall(rb"/(?:ca|CA) ([\d.]+)", pdf.read_bytes())} <= {0.0, 1.0}


def test_cold_places_let_the_picture_through_and_hot_ones_cover_it() -> None:
    heat = np.zeros((80, 120), np.float32)
    heat[:40] = 1
    values = np.asarray(blended(photo(), heat))
    np.testing.assert_array_equal(values[41:], np.asarray(photo())[41:])
    assert share(values[:39, :60], HOT) == 1.0


def test_half_the_heat_has_the_square_root_of_half_the_opacity() -> None:
    alpha = np.asarray(heat_layer(np.full((2, 2), 0.5)).convert("RGBA"))[0, 0, 3]
    assert alpha == pytest.approx(255 * 0.75 * 0.5**0.5, abs=1)


def test_what_was_not_found_is_pale_and_everything_else_is_not() -> None:
    pale = {verdict for verdict in Verdict if verdict.faded}
    assert pale == {Verdict.ABSENT, Verdict.NOT_UNDERSTOOD}
    distances = [
        np.abs(np.asarray(panel(verdict).painted(photo())).astype(int)[:, :60] - GREY).mean()
        for verdict in (Verdict.PRESENT, Verdict.ABSENT)
    ]
    assert distances[1] < 0.5 * distances[0]


def test_boxes_lie_where_they_are_said_to() -> None:
    image = Image.new("RGB", (120, 80), (0, 0, 0))
    drawn = np.asarray(overlay(image, panel(heat=0.0, boxes=[[30, 20, 90, 60]]), 480, opacity=0.0)).astype(int)
    white = (drawn.min(axis=-1) > 240) & (np.abs(np.arange(320)[:, None] - 160) > 20)  # not the words in the middle
    rows, columns = np.nonzero(white)
    # Four pixels of the drawing per pixel of the image; the white line lies just inside the dark one.
    assert (
        np.abs(np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]) - [120, 80, 360, 240]).max()
        <= 2
    )


def test_an_empty_map_says_so_in_every_format(tmp_path: Path) -> None:
    with_words, without = (figure(panel(heat=heat)) for heat in (0.0, 1.0))
    texts = [[text.get_text() for axes in each.axes for text in axes.texts] for each in (with_words, without)]
    assert EMPTY in texts[0]
    assert EMPTY not in texts[1]
    image = Image.new("RGB", (120, 80), (0, 0, 0))
    assert np.asarray(overlay(image, panel(heat=0.0), 480)).any()


def test_verdicts_stand_in_the_figure_in_their_words_and_colours() -> None:
    drawn = figure(*(panel(verdict) for verdict in Verdict))
    found = {text.get_text(): text.get_color() for axes in drawn.axes for text in axes.texts}
    assert {verdict.words: verdict.colour for verdict in Verdict}.items() <= found.items()
    assert len({verdict.words for verdict in Verdict}) == 5


@pytest.mark.parametrize("verdict", Verdict)
def test_the_colours_of_verdicts_can_be_read_on_white(verdict: Verdict) -> None:
    # WCAG 2.1: contrast 4.5:1 for text.
    channels = [int(verdict.colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    assert 1.05 / (luminance + 0.05) >= 4.5


def test_present_none_means_that_the_method_cannot_tell() -> None:
    assert [Verdict.of(present).words for present in (True, False, None)] == ["present", "absent", "cannot tell"]


@pytest.mark.parametrize("size", [(4000, 100), (100, 4000), (500, 500), (1, 1)])
def test_panels_of_extreme_pictures_stay_within_a_page(size: tuple[int, int]) -> None:
    width, height = panel_inches(size)
    assert 2 <= width <= 6
    assert height <= 4.5
    png = Image.open(BytesIO(figure_png(figure(panel(), image=photo(size)))))
    assert max(png.size) < 2500


def test_long_titles_wrap_and_break_between_options() -> None:
    assert wrapped("vlscore:top_k=256:temperature=0.05", 2.0) == "vlscore:top_k=256:\ntemperature=0.05"
    lines = wrapped("a very long text " * 30, 3.2).split("\n")
    assert len(lines) == 3
    assert lines[-1].endswith("…")
    assert wrapped("ratio 3:4, note: both", 3.2) == "ratio 3:4, note: both"


def test_titles_are_not_read_as_formulas_and_foreign_letters_do_no_harm() -> None:
    assert figure_png(figure(panel(title="$x_$"), text="猫 $\\frac{")).startswith(b"\x89PNG")


def test_the_colour_map_is_a_choice_and_a_wrong_one_is_told() -> None:
    assert np.asarray(blended(photo(), panel().heat, "gray"))[0, 0].tolist() == [216, 216, 216]  # 0.75 · 255 + 25
    with pytest.raises(UsageError, match="did you mean turbo"):
        check_colour_map("turb")


def test_heat_in_a_page_has_its_transparency_in_itself() -> None:
    heat = np.linspace(0, 1, 80 * 120, dtype=np.float32).reshape(80, 120)
    kind, content = heat_uri(heat).split(",")
    assert kind == "data:image/png;base64"
    alpha = np.asarray(Image.open(BytesIO(base64.b64decode(content))).convert("RGBA"))[..., 3]
    assert alpha[0, 0] < 10
    assert alpha.max() == pytest.approx(191, abs=1)
    assert len(content) < 12_000


def test_a_file_that_could_not_be_written_is_refused_before_any_work(tmp_path: Path) -> None:
    assert check_target(tmp_path / "new" / "folder" / "out.png").suffix == ".png"
    assert not (tmp_path / "new").exists()
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(UsageError, match="must end in one of"):
        check_target(tmp_path / "out.txt")
    with pytest.raises(UsageError, match="is a folder"):
        check_target(tmp_path / "folder.png")
    with pytest.raises(RunError, match="is not a folder"):
        check_target(tmp_path / "file" / "out.png")


@pytest.mark.parametrize(("ending", "largest"), [("webp", 16_383), ("jpg", 65_535)])
def test_a_figure_larger_than_its_format_allows_is_drawn_smaller(ending: str, largest: int, tmp_path: Path) -> None:
    """The widest picture of WebP has 16,383 pixels (RFC 9649, 2.5), of JPEG 65,535 (ITU-T T.81, B.2.2)."""
    figure = Figure(figsize=(500, 0.5))
    figure.add_axes((0, 0, 1, 1))
    with Image.open(save_figure(figure, tmp_path / f"wide.{ending}")) as image:
        assert 0.9 * largest < max(image.size) <= largest


def test_a_folder_without_permission_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)  # tests may run as root, who may write anywhere
    with pytest.raises(RunError, match="no permission"):
        check_target(tmp_path / "out.png")


def drawing_seconds(rows: int) -> float:
    panels = [[MapPanel(heat=np.ones((8, 8), np.float32), boxes=NO_BOXES, title="m")]] * rows
    began = time.process_time()
    maps_figure(Image.new("RGB", (8, 8)), ["a text"] * rows, panels, note="").draw_without_rendering()
    return time.process_time() - began


@pytest.mark.slow
def test_thirty_times_the_texts_take_thirty_times_the_time_to_draw_and_not_hundreds() -> None:
    drawing_seconds(10)
    assert drawing_seconds(300) <= 2 * 30 * drawing_seconds(10)


@pytest.mark.parametrize("size", [(64, 64), (40, 200), (300, 60)])
def test_rows_and_their_titles_stand_apart_and_inside_the_figure(size: tuple[int, int]) -> None:
    image, rows = Image.new("RGB", size), 4
    long = "a text that needs three lines, and then some more of them, however wide a panel may be made for it all"
    drawn = maps_figure(image, [long] * rows, [[panel(title=long)] * 2] * rows, note=long * 3, taken_for=[long] * rows)
    drawn.draw_without_rendering()
    parts = [axes.get_tightbbox() for axes in drawn.axes]
    assert len(parts) == 3 * rows + 1, "the colour bar is the last"
    for part in parts:
        assert drawn.bbox.x0 <= part.x0 < part.x1 <= drawn.bbox.x1
        assert drawn.bbox.y0 <= part.y0 < part.y1 <= drawn.bbox.y1
    assert not any(part.overlaps(other) for i, part in enumerate(parts) for other in parts[:i])
