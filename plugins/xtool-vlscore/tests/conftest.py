"""``xtool`` as the core's tests run it, with this plugin let in."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def xtool(xtool: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("XTOOL_DISABLE_PLUGINS", "app,clip,cam,tiny,timm")
    return xtool
