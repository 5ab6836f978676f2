"""The page of methods and towers says what is so now."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[1] / "docs"


@pytest.mark.slow
def test_the_page_of_methods_and_towers_is_what_they_do_now() -> None:
    spec = importlib.util.spec_from_file_location("generate_towers", DOCS / "generate_towers.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    same = module.page() == (DOCS / "towers.md").read_text("utf-8")
    assert same, "uv run python docs/generate_towers.py writes it anew"


def test_nine_of_ten_methods_work_on_the_towers_of_their_architecture() -> None:
    told = re.search(r"Of (\d+) pairs .* (\d+) work", (DOCS / "towers.md").read_text("utf-8"))
    assert told is not None
    pairs, work = map(int, told.groups())
    assert work >= 0.9 * pairs > 0
