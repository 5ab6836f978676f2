"""What the tests of the page share: the planted encoder in place of the bundled one, fresh models, and a server."""

from __future__ import annotations

import io
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import xtool_app
from xtool.engine.methods import parse_methods
from xtool.testing.planted import planted_image
from xtool_app import settings
from xtool_app.models import Models, models
from xtool_app.pictures import Picture, open_upload
from xtool_app.search import Query, Search
from xtool_app.wording import questions

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
SEARCH_GRACE, SESSION_GRACE = 3.0, 8.0
"""Seconds that served pages wait for whoever left; how long they wait for people, tests of ``visitors`` see."""
SERVE = f"""
import sys
from xtool_app import visitors
visitors.SEARCH_GRACE, visitors.SESSION_GRACE = {SEARCH_GRACE}, {SESSION_GRACE}
from xtool.cli import main
main(sys.argv[1:], prog_name="xtool")
"""
PLANTED_PLUGIN = Path(__file__).parents[3] / "tests" / "planted_plugin"
RED, GREEN = (0, 0, 24, 24), (40, 40, 64, 64)


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Models]:
    """The planted plugin beside VL-Score, and nothing else."""
    from xtool.contracts.registry import registry

    monkeypatch.syspath_prepend(PLANTED_PLUGIN)
    # Streamlit's server adds the page's folder once. AppTest would add and remove it in every run, and an import in the
    # thread of a search, which walks along the path at that moment, would miss an entry.
    monkeypatch.syspath_prepend(Path(xtool_app.__file__).parent)
    monkeypatch.setenv("XTOOL_DISABLE_PLUGINS", "clip,cam,tiny,timm,photo")
    registry.cache_clear()
    models.cache_clear()
    settings.configure(settings.Settings(encoder="planted-cnn"))
    # Measured on a busy machine, even the planted encoder may be slow enough to be asked about.
    monkeypatch.setattr("xtool_app.models.seconds_per_pass", lambda encoder: 0.001)
    yield models()
    settings.configure(settings.Settings())
    registry.cache_clear()
    models.cache_clear()


@pytest.fixture
def picture() -> Picture:
    """Red at the top left, green at the bottom right."""
    return open_upload(png(planted_image({"red": RED, "green": GREEN})), "patches.png")


@pytest.fixture
def query(planted: Models, picture: Picture) -> Callable[..., Query]:
    def make(typed: str = "red\nblue", methods: str = "colourcam") -> Query:
        return Query(
            picture=picture,
            questions=questions(typed),
            encoder="planted-cnn",
            methods=tuple(parse_methods([methods])),
        )

    return make


@pytest.fixture
def search(planted: Models, query: Callable[..., Query]) -> Callable[..., Search]:
    """Runs a search to its end."""

    def run(typed: str = "red\nblue", methods: str = "colourcam") -> Search:
        done = Search(query(typed, methods), planted).start()
        done.wait(60)
        assert not done.active, done.state
        return done

    return run


def png(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


@dataclass(frozen=True, slots=True)
class Server:
    """A page that is served by a process of its own, with the planted encoder."""

    port: int
    process: subprocess.Popen[str]

    @property
    def address(self) -> str:
        return f"http://localhost:{self.port}"


@contextmanager
def serving(folder: Path, **env: str) -> Iterator[Server]:
    """The page, served from a folder that must stay empty."""
    pytest.importorskip("streamlit", reason="the web app needs streamlit")
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, "app", "--port", str(port), "--encoder", "planted-cnn"],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(PLANTED_PLUGIN),
            "XTOOL_DISABLE_PLUGINS": "clip,cam,tiny,timm,vlscore,photo",
            "HOME": str(folder),
            **env,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        wait_for_server(port, process)
        yield Server(port, process)
    finally:
        process.terminate()
        log, _ = process.communicate(timeout=30)
    assert "Traceback" not in log, log
    left = [path for path in folder.rglob("*") if path.is_file() and "matplotlib" not in str(path)]
    assert left == [], "nothing is written to disk"


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("served")) as server:
        yield server


@pytest.fixture
def lingering(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path]]:
    """A page whose searches take a minute, and the file that grows by a character with each pass of the encoder."""
    told = tmp_path_factory.mktemp("told") / "passes"
    with serving(tmp_path_factory.mktemp("lingering"), PLANTED_LINGER=str(told)) as server:
        yield server, told


@pytest.fixture(scope="module")
def launch() -> Iterator[Callable[..., Any]]:
    """Starts a browser, with further flags."""
    if CHROMIUM is None:
        pytest.skip("needs a browser: apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the group browser: playwright")
    with playwright.sync_playwright() as driver:
        yield lambda *flags: driver.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, *flags])


@pytest.fixture(scope="module")
def browser(launch: Callable[..., Any]) -> Iterator[Any]:
    with launch() as chromium:
        yield chromium


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
