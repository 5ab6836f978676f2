"""What the tests of the page share: the planted encoder in place of the bundled one, and fresh models."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

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
