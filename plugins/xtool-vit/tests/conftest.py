"""Fixtures of this plugin's tests. Its helpers have names of their own, since all plugins' tests run in one session."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # pytest does so itself in its default import mode only

from vit_towers import TOWERS, make_base, make_tower

from xtool_clip.encoder import ClipEncoder


@pytest.fixture(scope="session", params=TOWERS)
def tower(request: pytest.FixtureRequest) -> ClipEncoder:
    """A small random tower of every kind."""
    return make_tower(request.param)


@pytest.fixture(scope="session")
def vit() -> ClipEncoder:
    """One with a class token, two rows and five columns of patches: rows and columns cannot be mistaken."""
    return make_tower("class token")


@pytest.fixture(scope="session")
def base() -> ClipEncoder:
    """Random ViT-B-16 at 224 px."""
    return make_base()
