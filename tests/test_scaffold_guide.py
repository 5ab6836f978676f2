"""The author's guide: every block on its pages is run, and every hook and field is on them."""

from __future__ import annotations

import inspect
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from xtool.contracts import hookspecs
from xtool.contracts.registry import HOOKS, registry
from xtool.testing import verdicts

GUIDE = Path(__file__).resolve().parents[1] / "docs" / "plugins"
PAGES = {
    "xtool_encoders": "encoders.md",
    "xtool_feature_extractors": "feature-extractors.md",
    "xtool_saliency_methods": "saliency-methods.md",
    "xtool_datasets": "datasets.md",
    "xtool_commands": "commands.md",
}
BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)


def blocks(page: str) -> list[tuple[str, str, str]]:
    """(language, title, content) of each block of a page, in order."""
    return [match.groups(default="") for match in BLOCK.finditer((GUIDE / page).read_text("utf-8"))]


def write_distribution(site: Path, name: str, module: str) -> None:
    info = site / f"{name.replace('-', '_')}-0.1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text(f"[xtool]\n{name.removeprefix('xtool-')} = {module}\n")


@pytest.fixture
def fresh_registry() -> Iterator[None]:
    registry.cache_clear()
    yield
    registry.cache_clear()


def test_every_hook_has_a_page_and_every_page_a_hook() -> None:
    assert set(PAGES) == set(HOOKS)
    assert {path.name for path in GUIDE.glob("*.md")} == {*PAGES.values(), "index.md", "stable.md"}
    index = (GUIDE / "index.md").read_text("utf-8")
    for hook, page in PAGES.items():
        assert f"`{hook}`" in index
        assert f"({page})" in index


@pytest.mark.parametrize("hook", HOOKS)
def test_the_heading_is_the_signature(hook: str) -> None:
    returned = str(inspect.signature(getattr(hookspecs, hook)).return_annotation)
    assert f"## `{hook}() -> {returned}`" in (GUIDE / PAGES[hook]).read_text("utf-8")


@pytest.mark.parametrize("hook", HOOKS)
def test_the_table_holds_each_field_of_the_spec_and_no_other(hook: str) -> None:
    rows = re.findall(r"^\| `(\w+)` \|", (GUIDE / PAGES[hook]).read_text("utf-8"), re.MULTILINE)
    assert sorted(rows) == sorted(field.name for field in fields(HOOKS[hook]))


@pytest.mark.parametrize("hook", HOOKS)
def test_the_example_of_each_hook_conforms(
    hook: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh_registry: None
) -> None:
    files = {title: content for _, title, content in blocks(PAGES[hook]) if title}
    for title, content in files.items():
        (tmp_path / title).parent.mkdir(exist_ok=True)
        (tmp_path / title).write_text(content)
    (module,) = {title.split("/")[0] for title in files}
    write_distribution(tmp_path, f"xtool-{module}", module)
    monkeypatch.syspath_prepend(tmp_path)
    plugin = next(plugin for plugin in registry().plugins if plugin.name == module)
    assert plugin.status == "ok", plugin.error
    assert hook in plugin.hooks
    # The extractor of the encoder's page reads that encoder only, which no planted one is.
    (spec,) = (spec for spec in plugin.specs if isinstance(spec, HOOKS[hook]))
    bad = [f"{v.case.id}: {v.told}" for v in verdicts(f"{module}:{spec.name}") if v.bad]
    assert not bad, bad


def test_the_checks_that_the_guide_names_are_those_of_a_method() -> None:
    from xtool.testing.checks.method_evidence import planted_evidence
    from xtool.testing.checks.method_hygiene import HYGIENE_CHECKS
    from xtool.testing.checks.method_output import OUTPUT_CHECKS

    index = (GUIDE / "index.md").read_text("utf-8")
    table = index[index.index("| If a method") : index.index("A method may fail")]
    named = re.findall(r"`(\w+)`", table)
    live = {check.__name__ for check in (*OUTPUT_CHECKS, *HYGIENE_CHECKS, planted_evidence)}
    assert {name for name in named if name != "AttributeError"} == live


@pytest.mark.slow
def test_the_tutorial_works_word_for_word(tmp_path: Path) -> None:
    """Files are written and commands are run in the order of the page; only the installation is played by hand."""
    for needed in ("xtool_tiny", "xtool_cam"):
        pytest.importorskip(needed, reason="the tutorial compares with a control on the bundled scenes")
    folder, site = tmp_path, tmp_path / "site"
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(site), str(tmp_path / "src")]),
        "OMP_NUM_THREADS": "1",
    }
    ran = []
    for language, title, content in blocks("index.md"):
        if title:
            (folder / title).write_text(content)
        elif language == "python":
            compile(content, "index.md", "exec")
        for line in content.splitlines() if language == "console" else ():
            command = shlex.split(line.removeprefix("$ "))
            if command[0] == "cd":
                folder = folder / command[1]
                environment["PYTHONPATH"] = os.pathsep.join([str(site), str(folder / "src")])
            elif command[:2] == ["uv", "pip"]:
                write_distribution(site, "xtool-input-gradient", "xtool_input_gradient")
            else:
                module = [sys.executable, "-m", command[0], *command[1:]]
                done = subprocess.run(module, cwd=folder, env=environment, capture_output=True, text=True)
                assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
                ran.append(command[0])
    assert ran == ["xtool", "pytest", "xtool", "pytest", "xtool", "xtool"]
