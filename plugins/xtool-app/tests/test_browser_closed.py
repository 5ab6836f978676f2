"""The served page keeps strangers out, and gives back what closed tabs held."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from xtool.testing.planted import planted_image

STRANGER = "evil.example"
SLACK = 39
"""MiB that stay in holes between what lives on: half of what one of four answers holds."""
pytestmark = pytest.mark.slow


def test_a_request_for_a_strangers_name_is_refused(served: Any) -> None:
    for path in ("/", "/_stcore/health", "/_stcore/stream", "/media/x", "/_stcore/upload_file/x/y"):
        assert status(served.port, path, STRANGER) == 403, path
        assert status(served.port, path, f"localhost:{served.port}") != 403, path


def test_a_browser_that_was_led_to_this_computer_sees_nothing_of_the_page(
    launch: Callable[..., Any], served: Any
) -> None:
    """DNS rebinding: the stranger's name points at this computer, as its owner can make it do at any time."""
    with launch(f"--host-resolver-rules=MAP {STRANGER} 127.0.0.1") as chromium:
        page = chromium.new_page()
        answer = page.goto(f"http://{STRANGER}:{served.port}")
        assert answer.status == 403
        assert "localhost only" in page.locator("body").inner_text()
        opened = page.evaluate(
            """port => new Promise(done => {
                const socket = new WebSocket(`ws://evil.example:${port}/_stcore/stream`)
                socket.onopen = () => done(true)
                socket.onerror = () => done(false)
            })""",
            served.port,
        )
        assert not opened


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_closed_tabs_give_their_memory_back(browser: Any, served: Any, tmp_path: Path) -> None:
    """Each tab's answer is eight maps of 1600 × 1600 float32 numbers, which are 78 MiB, and some are made twice."""
    picture = tmp_path / "large.png"
    planted_image({"green": (40, 40, 64, 64)}).resize((1600, 1600)).save(picture)
    answer(browser, served.address, picture)  # what is loaded with the first answer stays
    before = resident(served.process.pid)
    for _ in range(4):
        answer(browser, served.address, picture)
    held = resident(served.process.pid)
    end = time.monotonic() + 60
    while time.monotonic() < end and resident(served.process.pid) > before + SLACK:
        time.sleep(0.5)
    left = resident(served.process.pid)
    assert left <= before + SLACK, f"{before} MiB after the first, {held} after the last, {left} once all were closed"


def test_a_search_stops_when_its_tab_closes(browser: Any, lingering: tuple[Any, Path], tmp_path: Path) -> None:
    served, told = lingering
    picture = tmp_path / "small.png"
    planted_image({"green": (40, 40, 64, 64)}).save(picture)
    page = asked(browser, served.address, picture, "green")
    waited = time.monotonic() + 60
    while not passes(told) and time.monotonic() < waited:
        time.sleep(0.1)
    assert passes(told), "the search did not begin"
    page.context.close()
    before, after = 0, passes(told)
    while before < after < 600:  # a pass in every tenth of a second
        time.sleep(2)
        before, after = after, passes(told)
    assert before == after < 600


def passes(told: Path) -> int:
    return told.stat().st_size if told.exists() else 0


def answer(browser: Any, address: str, picture: Path) -> None:
    """A visitor who asks eight texts, waits for the answer and closes the tab."""
    page = asked(browser, address, picture, *["red", "green", "blue", "white"] * 2)
    page.get_by_text("Save as", exact=True).wait_for()
    page.locator('[data-testid="stApp"][data-test-script-state="notRunning"]').wait_for()
    page.context.close()


def asked(browser: Any, address: str, picture: Path, *texts: str) -> Any:
    """The page of a visitor who has just asked."""
    page = browser.new_context().new_page()
    page.set_default_timeout(120_000)
    page.goto(address)
    page.locator("input[type=file]").set_input_files(picture)
    page.locator(f'.xt-small[alt$="{picture.name}"]').wait_for()
    page.get_by_role("textbox", name="What to look for").fill("\n".join(texts))
    page.get_by_role("button", name="Find it!").click()
    return page


def status(port: int, path: str, host: str) -> int:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request("GET", path, headers={"Host": host})
        return connection.getresponse().status


def resident(process: int) -> int:
    """MiB of memory that the process has."""
    (line,) = (each for each in Path(f"/proc/{process}/status").read_text().splitlines() if each.startswith("VmRSS"))
    return int(line.split()[1]) // 1024
