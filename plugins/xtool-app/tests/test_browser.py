"""The page in a real browser: upload → find → overlay → download, as a newcomer meets it.

The server is a process of its own with the planted encoder. Screenshots are kept in ``build/screenshots``.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from xtool.testing.planted import planted_image

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
ROOT = Path(__file__).parents[3]
SCREENSHOTS = ROOT / "build" / "screenshots"
TIMEOUT = 120_000
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
GREEN = (40, 40, 64, 64)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs a browser: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the page is served, from a folder that must stay empty."""
    pytest.importorskip("streamlit", reason="the web app needs streamlit")
    folder = tmp_path_factory.mktemp("served")
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "xtool", "app", "--port", str(port), "--encoder", "planted-cnn"],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT / "tests" / "planted_plugin"),
            "XTOOL_DISABLE_PLUGINS": "clip,cam,tiny,timm,vlscore",
            "HOME": str(folder),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        wait_for_server(port, process)
        yield f"http://localhost:{port}"
    finally:
        process.terminate()
        log, _ = process.communicate(timeout=30)
    assert "Traceback" not in log, log
    left = [path for path in folder.rglob("*") if path.is_file() and "matplotlib" not in str(path)]
    assert left == [], "nothing is written to disk"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the group browser: playwright")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser: Any, address: str) -> Iterator[Any]:
    """Opens the page for a new visitor; nobody but the server may be talked to."""
    contexts, asked = [], []

    def open_(viewport: dict[str, int]) -> Any:
        context = browser.new_context(viewport=viewport, accept_downloads=True)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(TIMEOUT)
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        page.get_by_role("button", name="Find it!").wait_for()
        return page

    yield open_
    for context in contexts:
        context.close()
    elsewhere = {urlsplit(url).hostname for url in asked} - {"localhost", None}
    assert not elsewhere, "the page talked to strangers"


def test_upload_find_overlay_download(visit: Any, tmp_path: Path) -> None:
    page = visit(DESKTOP)
    find(page, tmp_path, "green\nblue")
    page.get_by_role("tab", name="green").wait_for()
    page.get_by_text("present").first.wait_for()
    screenshot(page, "answer-desktop")

    document = json.loads(download(page, "Boxes (JSON)", tmp_path).read_text("utf-8"))
    green, blue = document["explanations"][0]["texts"]
    assert (document["picture"], document["size"]) == ("patches.png", [64, 64])
    assert (green["present"], blue["present"]) == (True, False)
    assert iou(green["boxes"][0], GREEN) > 0.3

    with Image.open(download(page, "Picture (PNG)", tmp_path)) as sheet:
        assert min(sheet.size) > 900
        colours = np.asarray(sheet.convert("RGB")).reshape(-1, 3)
    assert len(np.unique(colours, axis=0)) > 1000, "a heat map has many colours, the picture itself three"


def test_moving_the_threshold_redraws_at_once(visit: Any, tmp_path: Path) -> None:
    page = visit(DESKTOP)
    find(page, tmp_path, "green")
    panel = page.get_by_role("tabpanel").first
    panel.get_by_text("at 0.60").wait_for()
    before = panel.locator("img").first.get_attribute("src")
    slider = page.get_by_role("slider", name="Threshold of the boxes")
    slider.focus()
    for _ in range(20):
        slider.press("ArrowRight")
    panel.get_by_text("at 0.80").wait_for()
    assert panel.locator("img").first.get_attribute("src") != before
    assert page.get_by_role("button", name="Stop").count() == 0


def test_a_phone_shows_everything_within_its_width(visit: Any, tmp_path: Path) -> None:
    page = visit(PHONE)
    find(page, tmp_path, "green\nblue")
    screenshot(page, "answer-phone")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


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


def find(page: Any, folder: Path, typed: str) -> None:
    """Upload the patches, ask, and wait for the answer."""
    file = folder / "patches.png"
    planted_image({"red": (0, 0, 24, 24), "green": GREEN}).save(file)
    page.locator("input[type=file]").set_input_files(file)
    page.locator('[data-testid="stImage"] img').first.wait_for()
    texts = page.get_by_role("textbox", name="One thing per line")
    texts.fill(typed)
    page.get_by_role("button", name="Find it!").click()
    answer = page.get_by_role("button", name="Boxes (JSON)")
    slow = page.get_by_role("button", name="Run it anyway")  # on a machine that is busy with other things
    answer.or_(slow).first.wait_for()
    if slow.count():
        slow.click()
        answer.wait_for()
    page.locator('[data-testid="stApp"][data-test-script-state="notRunning"]').wait_for()


def download(page: Any, name: str, folder: Path) -> Path:
    with page.expect_download() as waiting:
        page.get_by_role("button", name=name).click()
    file = folder / waiting.value.suggested_filename
    waiting.value.save_as(file)
    return file


def screenshot(page: Any, name: str) -> None:
    """The whole page: Streamlit scrolls inside, so the window has to grow first."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    height = page.locator('[data-testid="stMain"]').evaluate("element => element.scrollHeight")
    page.set_viewport_size({"width": page.viewport_size["width"], "height": min(height + 40, 4000)})
    page.wait_for_timeout(500)
    page.screenshot(path=SCREENSHOTS / f"{name}.png")


def iou(one: list[int], other: tuple[int, int, int, int]) -> float:
    width = max(0, min(one[2], other[2]) - max(one[0], other[0]))
    height = max(0, min(one[3], other[3]) - max(one[1], other[1]))
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return width * height / (areas - width * height)


def free_port() -> int:
    with socket.socket() as any_:
        any_.bind(("127.0.0.1", 0))
        return int(any_.getsockname()[1])


def wait_for_server(port: int, process: subprocess.Popen[str]) -> None:
    for _ in range(600):
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"http://localhost:{port}/_stcore/health", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    process.kill()
    raise AssertionError(f"the server did not start: {process.communicate()[0]}")
