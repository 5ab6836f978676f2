"""The page in a real browser: upload → find → overlay → download, as a newcomer meets it.

Screenshots are kept in ``build/screenshots``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from xtool.testing.planted import planted_image

SCREENSHOTS = Path(__file__).parents[3] / "build" / "screenshots"
TIMEOUT = 120_000
DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
SIZES = pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
SCHEMES = pytest.mark.parametrize("scheme", ["light", "dark"])
GREEN = (40, 40, 64, 64)

pytestmark = pytest.mark.slow


@pytest.fixture
def visit(browser: Any, served: Any) -> Iterator[Any]:
    """Opens the page for a new visitor; nobody but the server may be talked to."""
    contexts, asked = [], []

    def open_(viewport: dict[str, int], scheme: str = "light") -> Any:
        context = browser.new_context(viewport=viewport, color_scheme=scheme, accept_downloads=True)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(TIMEOUT)
        page.on("request", lambda request: asked.append(request.url))
        page.goto(served.address)
        page.get_by_role("button", name="Find it!").wait_for()
        return page

    yield open_
    for context in contexts:
        context.close()
    elsewhere = {urlsplit(url).hostname for url in asked} - {"localhost", None}
    assert not elsewhere, "the page talked to strangers"


@SIZES
@SCHEMES
def test_the_answer_is_where_the_person_looks(visit: Any, tmp_path: Path, size: dict[str, int], scheme: str) -> None:
    """Beside the form, or on a phone scrolled to: verdicts, picture and boxes, within the width of the screen."""
    page = visit(size, scheme)
    find(page, tmp_path, "green\nblue")
    seen = [page.locator(".xt-verdict").first, page.locator(".xt-large").first]
    for part in seen:
        box = part.bounding_box()
        assert box is not None
        assert box["y"] >= 0
        assert box["y"] + box["height"] <= size["height"], "nobody has to scroll"
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    screenshot(page, f"answer-{'phone' if size is PHONE else 'desktop'}-{scheme}")


@SCHEMES
def test_the_page_is_as_light_or_dark_as_the_system(visit: Any, tmp_path: Path, scheme: str) -> None:
    page = visit(DESKTOP, scheme)
    find(page, tmp_path, "green")
    background, ink, verdict = (
        luminance(page.locator(where).first.evaluate(f"each => getComputedStyle(each).{what}"))
        for where, what in (
            ('[data-testid="stApp"]', "backgroundColor"),
            (".xt-text", "color"),
            (".xt-verdict", "color"),
        )
    )
    assert (background < 0.2) == (scheme == "dark")
    assert contrast(background, ink) >= 4.5
    assert contrast(background, verdict) >= 4.5


def test_every_picture_says_what_it_shows(visit: Any, tmp_path: Path) -> None:
    page = visit(DESKTOP)
    find(page, tmp_path, "green\nblue")
    alternatives = page.locator(".xt-picture").evaluate_all("images => images.map(image => image.alt)")
    assert any("green" in alt and "present" in alt for alt in alternatives)
    assert any("blue" in alt and "absent" in alt for alt in alternatives)
    assert all(alternatives)


def test_ctrl_enter_asks(visit: Any, tmp_path: Path) -> None:
    page = visit(DESKTOP)
    upload(page, tmp_path)
    page.get_by_role("textbox", name="What to look for").fill("green")
    page.keyboard.press("Control+Enter")
    wait_for_answer(page)
    page.get_by_role("tab", name="green").wait_for()


def test_a_tall_picture_and_a_long_text_stay_within_the_page(visit: Any, tmp_path: Path) -> None:
    page = visit(DESKTOP)
    text = "a very long description of something green " * 5 + "x" * 80
    find(page, tmp_path, text, image=planted_image({"green": (0, 0, 64, 64)}).resize((60, 900)))
    box = page.locator(".xt-large").first.bounding_box()
    assert box is not None
    assert box["height"] <= 0.5 * DESKTOP["height"]
    assert page.evaluate("document.documentElement.scrollWidth") <= DESKTOP["width"]


@pytest.mark.parametrize(
    ("kind", "ending"),
    [("Picture (PNG)", "png"), ("Drawing (SVG)", "svg"), ("Boxes (JSON)", "json"), ("Maps (NumPy)", "npy")],
)
def test_every_kind_of_file_arrives(visit: Any, tmp_path: Path, kind: str, ending: str) -> None:
    page = visit(DESKTOP)
    find(page, tmp_path, "green\nblue")
    file = download(page, kind, tmp_path)
    assert file.suffix == f".{ending}"
    if ending == "json":
        document = json.loads(file.read_text("utf-8"))
        green, blue = document["explanations"][0]["texts"]
        assert (document["picture"], document["size"]) == ("patches.png", [64, 64])
        assert (green["present"], blue["present"]) == (True, False)
        assert iou(green["boxes"][0], GREEN) > 0.3
    elif ending == "npy":
        assert np.load(file).shape == (1, 2, 64, 64)
    elif ending == "svg":
        assert "<svg" in file.read_text("utf-8")[:2000]
    else:
        with Image.open(file) as sheet:
            assert min(sheet.size) > 900
            colours = np.asarray(sheet.convert("RGB")).reshape(-1, 3)
        assert len(np.unique(colours, axis=0)) > 300, "a heat map has many colours, the picture itself three"


def test_moving_the_threshold_redraws_at_once(visit: Any, tmp_path: Path) -> None:
    page = visit(DESKTOP)
    find(page, tmp_path, "green")
    drawn = page.locator(".xt-large").first
    before = drawn.get_attribute("src")
    slider = page.get_by_role("slider", name="Threshold of the boxes")
    slider.focus()
    slider.press("End")
    page.get_by_text("boxes at 0.95").wait_for()
    page.wait_for_function("before => document.querySelector('.xt-large').src !== before", arg=before)
    assert page.get_by_role("button", name="Stop").count() == 0


def test_another_question_makes_the_answer_stale(visit: Any, tmp_path: Path) -> None:
    page = visit(DESKTOP)
    find(page, tmp_path, "green")
    assert page.get_by_text("The form has changed since").count() == 0
    upload(page, tmp_path, planted_image({"red": GREEN}), "other.png")
    page.get_by_text("The form has changed since").wait_for()


def test_typed_markup_stays_text(visit: Any, tmp_path: Path) -> None:
    page = visit(DESKTOP)
    find(page, tmp_path, "<img src=x onerror=\"document.title='owned'\"> **green**")
    page.get_by_role("tab", name="<img src=x").wait_for()
    assert "owned" not in page.title()
    assert page.locator("img[src=x]").count() == 0


def test_a_file_that_is_no_picture_is_told_in_words(visit: Any, tmp_path: Path) -> None:
    page = visit(DESKTOP)
    file = tmp_path / "letter.png"
    file.write_text("Dear reader,")
    page.locator("input[type=file]").set_input_files(file)
    page.get_by_text("not a picture in a format").wait_for()
    screenshot(page, "no-picture")


def upload(page: Any, folder: Path, image: Image.Image | None = None, name: str = "patches.png") -> None:
    """Put a picture into the form, by default the patches, and wait until it is shown there."""
    file = folder / name
    (image or planted_image({"red": (0, 0, 24, 24), "green": GREEN})).save(file)
    page.locator("input[type=file]").set_input_files(file)
    page.locator(f'.xt-small[alt$="{name}"]').wait_for()


def find(page: Any, folder: Path, typed: str, image: Image.Image | None = None) -> None:
    """Upload a picture, ask, and wait for the answer."""
    upload(page, folder, image)
    page.get_by_role("textbox", name="What to look for").fill(typed)
    page.get_by_role("button", name="Find it!").click()
    wait_for_answer(page)


def wait_for_answer(page: Any) -> None:
    answer = page.get_by_text("Save as", exact=True)
    slow = page.get_by_role("button", name="Run it anyway")  # on a machine that is busy with other things
    answer.or_(slow).first.wait_for()
    if slow.count():
        slow.click()
        answer.wait_for()
    page.locator('[data-testid="stApp"][data-test-script-state="notRunning"]').wait_for()


def download(page: Any, name: str, folder: Path) -> Path:
    page.get_by_role("button", name=name, exact=True).or_(page.get_by_role("radio", name=name)).first.click()
    button = page.get_by_role("button", name=f"Download {name}")
    with page.expect_download() as waiting:
        button.click()
    file = folder / waiting.value.suggested_filename
    waiting.value.save_as(file)
    return file


def screenshot(page: Any, name: str) -> None:
    """What is on the screen, for people."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png")


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2) of a colour as browsers compute it: ``rgb(255, 0, 0)`` or ``color(srgb 1 0 0)``."""
    numbers = [float(each) for each in re.findall(r"[0-9.]+", colour)[:3]]
    parts = [number if "srgb" in colour else number / 255 for number in numbers]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: float, other: float) -> float:
    """Contrast ratio (WCAG 2) of two luminances."""
    low, high = sorted((one, other))
    return (high + 0.05) / (low + 0.05)


def iou(one: list[int], other: tuple[int, int, int, int]) -> float:
    width = max(0, min(one[2], other[2]) - max(one[0], other[0]))
    height = max(0, min(one[3], other[3]) - max(one[1], other[1]))
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return width * height / (areas - width * height)
