"""Fixtures of this plugin's tests: small models of every family, saved once per session."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # pytest does so itself in its default import mode only

from hf_testing import FAMILIES, TRANSFORMERS, open_model, save_model

from xtool_transformers.encoder import TransformersEncoder


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, Any]]:
    """The folder of a small random model, and transformers' own model."""
    made: dict[str, tuple[Path, Any]] = {}

    def save(family: str) -> tuple[Path, Any]:
        if family not in made:
            folder = tmp_path_factory.mktemp("models") / family
            folder.mkdir()
            made[family] = folder, save_model(family, folder)
        return made[family]

    return save


@pytest.fixture(scope="session")
def opened(saved: Callable[[str], tuple[Path, Any]]) -> Callable[[str], TransformersEncoder]:
    """The encoder of a family's small model, loaded once."""
    made: dict[str, TransformersEncoder] = {}

    def load(family: str) -> TransformersEncoder:
        if family not in made:
            made[family] = open_model(saved(family)[0])
        return made[family]

    return load


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(params=TRANSFORMERS)
def transformer(request: pytest.FixtureRequest) -> str:
    """A family whose image tower is a plain transformer."""
    name: str = request.param
    return name
