"""Fixtures of this plugin's tests. Its helpers have names of their own, since all plugins' tests run in one session."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # pytest does so itself in its default import mode only

from cam_encoders import TinyEncoder, make_cnn, make_vit


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: takes minutes; deselect with -m 'not slow'")


@pytest.fixture(params=["cnn", "vit"])
def encoder(request: pytest.FixtureRequest) -> TinyEncoder:
    return make_cnn() if request.param == "cnn" else make_vit()


@pytest.fixture
def cnn() -> TinyEncoder:
    return make_cnn()


@pytest.fixture
def vit() -> TinyEncoder:
    return make_vit()
