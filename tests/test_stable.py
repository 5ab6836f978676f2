"""What is said to be stable is what is there: the page, the facade and the homes of its names."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import xtool.loading
import xtool.plugin

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "plugins" / "stable.md").read_text("utf-8")


def test_the_page_lists_the_facade_and_nothing_else() -> None:
    table = PAGE[PAGE.index("| In `xtool.plugin`") : PAGE.index("## From 1 to 2")]
    listed = re.findall(r"`(\w+)`", table.partition("\n")[2])
    assert sorted(listed) == sorted(xtool.plugin.__all__)


def test_the_page_lists_what_encoders_load_with() -> None:
    (part,) = re.findall(r"- everything in `xtool.loading`(.*?);", PAGE, re.DOTALL)
    assert sorted(re.findall(r"`(\w+)`", part)) == sorted(xtool.loading.__all__)


def test_the_page_has_the_version_of_the_program() -> None:
    assert f"`xtool.plugin.API_VERSION` is {xtool.plugin.API_VERSION}." in PAGE
    assert f"State `XTOOL_API = {xtool.plugin.API_VERSION}`." in PAGE


@pytest.mark.parametrize("module", [xtool.plugin, xtool.loading], ids=lambda module: module.__name__)
def test_every_name_is_there_and_a_wrong_one_is_refused(module: object) -> None:
    assert [name for name in module.__all__ if not hasattr(module, name)] == []  # type: ignore[attr-defined]
    assert not hasattr(module, "no_such_name")


def test_what_a_root_module_needs_imports_neither_torch_nor_numpy() -> None:
    code = (
        "import sys\nfrom xtool.loading import cached\n"
        "from xtool.plugin import CommandSpec, DatasetSpec, EncoderSpec, FeatureExtractorSpec, SaliencyMethodSpec, "
        "hookimpl\nprint(sorted({'torch', 'numpy', 'click'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
