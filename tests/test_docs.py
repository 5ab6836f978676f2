"""The site and the files beside it: they build, link, run, and say what the program is."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import unquote, urlsplit

import click
import numpy as np
import pytest
from click.testing import CliRunner

pytest.importorskip("mkdocs", reason="the docs need the group `docs`")

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
BESIDE = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")]
PAGES = sorted(DOCS.rglob("*.md"))
RUN = "<!-- run -->"
FAILS = "<!-- fails -->"
"""Before a command that is refused, with the beginnings of the lines that it says."""
SHELLS = ("sh", "console", "bash", "shell")
OTHER_TOOLS = {"--as-initialised", "--strict", "--check"}
"""Options in prose that are not xtool's."""


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    text: str
    marker: str
    """The comment on the line before it."""


def blocks_of(page: Path) -> Iterator[Block]:
    lines = page.read_text("utf-8").splitlines()
    number = 0
    while number < len(lines):
        opening = re.fullmatch(r"( *)```+ *(\w*).*", lines[number])
        if opening is None:
            number += 1
            continue
        start, indent = number, len(opening[1])
        number += 1
        body = []
        while lines[number].strip() != "```":
            body.append(lines[number][indent:])
            number += 1
        marker = lines[start - 1].strip() if start else ""
        yield Block(page, start + 1, opening[2], "\n".join(body) + "\n", marker)
        number += 1


def commands_in(block: Block) -> Iterator[list[str]]:
    """Words of each ``xtool`` command in a shell block; output and other programs are passed over."""
    joined = re.sub(r"\\\n\s*", " ", block.text)
    for line in joined.splitlines():
        words = shlex.split(line.removeprefix("$ "), comments=True) if "xtool" in line else []
        words = words[2:] if words[:2] == ["uv", "run"] else words
        if words[:1] == ["xtool"]:
            yield words[1:]


BLOCKS = [block for page in (*PAGES, *BESIDE) for block in blocks_of(page)]
WITH_REAL_MODELS = {"own-model.md": pytest.mark.slow}
RUNNABLE = sorted({block.page for block in BLOCKS if block.marker == RUN})


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


# The site.


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(target)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )
    assert built.returncode == 0, built.stderr
    return target


class _Links(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("href", "src") and value and tag != "link":
                self.found.append(value)
            if name in ("id", "name") and value:
                self.anchors.add(value)


def test_the_site_builds_strictly_and_every_link_and_anchor_leads_somewhere(site: Path) -> None:
    read = {path: _Links(path.read_text("utf-8")) for path in site.rglob("*.html") if path.name != "404.html"}
    assert len(read) >= len(PAGES)
    broken = []
    for page, links in read.items():
        for link in links.found:
            url = urlsplit(link)
            if url.scheme or url.netloc:
                continue
            target = (page.parent / unquote(url.path)).resolve() if url.path else page
            target = target / "index.html" if target.is_dir() else target
            anchored = not url.fragment or target not in read or unquote(url.fragment) in read[target].anchors
            if not target.exists() or not anchored:
                broken.append(f"{page.relative_to(site)}: {link}")
    assert not broken


def test_no_page_asks_another_server_for_scripts_fonts_or_pictures(site: Path) -> None:
    loaded = re.compile(
        r"""<(?:script|img|iframe)[^>]*\bsrc="https?:|<link[^>]*rel="(?:stylesheet|icon)"[^>]*href="https?:"""
    )
    assert [path.name for path in site.rglob("*.html") if loaded.search(path.read_text("utf-8"))] == []


@pytest.mark.parametrize("page", BESIDE, ids=name_of)
def test_links_of_files_beside_the_site_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8"))
    here = [link for link in links if not urlsplit(link).scheme]
    assert [link for link in here if not (page.parent / link.partition("#")[0]).exists()] == []


# The reference, both ways.


def generator() -> Any:
    spec = importlib.util.spec_from_file_location("generate_reference", DOCS / "generate_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_is_what_the_program_says_now() -> None:
    expected = generator().pages()
    found = {path.name: path.read_text("utf-8") for path in (DOCS / "reference").glob("*.md")}
    assert sorted(found) == sorted(expected)
    stale = [name for name in expected if found[name] != expected[name]]
    assert not stale, "uv run python docs/generate_reference.py writes them anew"


def all_commands() -> dict[tuple[str, ...], click.Command]:
    from xtool.cli import main

    return dict(generator().commands(main))


def options_of(command: click.Command) -> set[str]:
    return {"-h", "--help", *(name for p in command.params for name in (*p.opts, *p.secondary_opts))}


@pytest.mark.parametrize("page", [*PAGES, *BESIDE], ids=name_of)
def test_every_command_and_option_in_a_block_exists(page: Path) -> None:
    known = all_commands()
    wrong = []
    for block in (block for block in BLOCKS if block.page == page and block.language in SHELLS):
        for words in commands_in(block):
            path: tuple[str, ...] = ()
            allowed = options_of(known[()])
            for word in words:
                if (*path, word) in known:
                    path = (*path, word)
                    allowed |= options_of(known[path])
                elif not path and not word.startswith("-") and words[0] != "--no-plugin":
                    wrong.append(f"line {block.line}: no command {word}")
                elif re.match(r"--?[a-z]", word) and word.partition("=")[0] not in allowed:
                    wrong.append(f"line {block.line}: xtool {' '.join(path)} has no {word}")
    assert not wrong


@pytest.mark.parametrize("page", [*PAGES, *BESIDE], ids=name_of)
def test_every_option_and_method_setting_in_prose_exists(page: Path) -> None:
    from xtool.contracts.registry import registry
    from xtool.engine.methods import parse_methods

    text = re.sub(r"^ *```.*?^ *```", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    codes = re.findall(r"`([^`\n]+)`", text)
    known = set().union(*map(options_of, all_commands().values())) | OTHER_TOOLS
    ours = [code for code in codes if not re.match(r"(pip|uv|pytest|python|git|ruff|tox|mkdocs)\b", code)]
    options = {option for code in ours for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", code)}
    assert options - known == set()
    names = {item.spec.name for item in registry().saliency_methods}
    settings = re.findall(r"([a-z+]+(?::\w+=[\w.+/-]+)+)", page.read_text("utf-8"))
    for setting in (setting for setting in settings if setting.partition(":")[0] in names):
        parse_methods([setting.rstrip(".")])


def test_the_reference_has_every_number_of_a_row() -> None:
    from xtool.metrics.registry import METRICS

    listed = table_names(DOCS / "reference" / "metrics.md", "# Metrics", column=1)
    assert {metric.info.name for metric in METRICS} <= listed


def test_every_localization_protocol_has_its_heading() -> None:
    from xtool.metrics.protocols import PROTOCOLS

    section = section_of(DOCS / "protocols.md", "## The five localization protocols")
    assert set(re.findall(r"^### (\w+) ", section, re.MULTILINE)) == set(PROTOCOLS)


def test_every_file_that_the_architecture_names_is_there() -> None:
    text = (DOCS / "architecture.md").read_text("utf-8").partition("## What differs")[0]
    named = {code for code in re.findall(r"`([^`\s]+)`", text) if code.endswith((".py", ".toml")) or code[-1] == "/"}
    rooms = [place for place in (ROOT / "src/xtool").iterdir() if place.is_dir()]
    places = (ROOT, ROOT / "src/xtool", *rooms, ROOT / "plugins/xtool-cam/src/xtool_cam")
    assert {name for name in named if not any((place / name).exists() for place in places)} == set()


def test_the_architecture_has_every_room() -> None:
    text = (DOCS / "architecture.md").read_text("utf-8")
    package = ROOT / "src/xtool"
    rooms = [
        f"{path.name}/" if path.is_dir() else path.name
        for path in package.iterdir()
        if (path.suffix == ".py" or (path / "__init__.py").exists()) and not path.name.startswith("__")
    ]
    assert [room for room in sorted(rooms) if f"`{room}`" not in text and room != "errors.py"] == []


def test_changelog_and_citation_know_the_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert f"## [{version}]" in (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert f"version: {version}\n" in (ROOT / "CITATION.cff").read_text("utf-8")


def section_of(page: Path, heading: str) -> str:
    after = page.read_text("utf-8").partition(f"{heading}\n")[2]
    return re.split(r"^## ", after, maxsplit=1, flags=re.MULTILINE)[0]


def table_names(page: Path, heading: str, column: int = 0) -> set[str]:
    """What stands in code in one column of the section's table."""
    rows = [line.split("|")[1:] for line in section_of(page, heading).splitlines() if line.startswith("|")]
    return {name for row in rows for name in re.findall(r"`(\w+)`", row[column])}


# Blocks that run, with stand-ins for the bundled model and scenes.

STAND_INS = "docs_stand_ins"
REAL = ("cam", "clip", "transformers", "vlscore")
"""Plugins that are there beside the stand-ins."""


class StandInScenes:
    """Four grey pictures with a patch of one colour, and of another one elsewhere."""

    classes = (("red",), ("green",), ("blue",))
    name = "scenes:test"

    def __len__(self) -> int:
        return 4

    def fingerprint(self) -> str:
        return "stand-in"

    def __getitem__(self, index: int) -> Any:
        from xtool.contracts.protocols import Sample
        from xtool.testing import planted_image

        here, there, absent = (self.classes[(index + shift) % 3][0] for shift in range(3))
        picture = planted_image({here: (8, 8, 24, 32), there: (40, 40, 56, 56)})
        mask = np.zeros((64, 64), bool)
        mask[8:32, 8:24] = True
        return Sample(
            id=f"{index}.png",
            open=lambda: picture,
            label=here,
            synonyms=(here,),
            boxes=np.array([[8, 8, 24, 32]], np.float64),
            class_index=index % 3,
            absent=absent,
            distractor=there,
            open_mask=lambda: mask,
        )


def stand_ins() -> ModuleType:
    """A plugin that provides the names ``tiny-rn`` and ``scenes``, so that examples run in no time."""
    from xtool.contracts.hookspecs import hookimpl
    from xtool.contracts.specs import DatasetSpec, EncoderSpec, FeatureExtractorSpec
    from xtool.testing import PlantedCNN

    module: Any = ModuleType(STAND_INS)

    @hookimpl
    def xtool_encoders() -> Iterator[Any]:
        yield EncoderSpec(
            name="tiny-rn", factory=f"{STAND_INS}:load", summary="Planted.", default_pretrained="scenes", suggested=1
        )

    @hookimpl
    def xtool_feature_extractors() -> Iterator[Any]:
        yield FeatureExtractorSpec(name="planted", factory="xtool.plugin:LayerFeatures", summary="Planted.")

    @hookimpl
    def xtool_datasets() -> Iterator[Any]:
        yield DatasetSpec(
            name="scenes", factory=f"{STAND_INS}:scenes", summary="Planted.", needs_data_dir=False, suggested=1
        )

    module.xtool_encoders = xtool_encoders
    module.xtool_feature_extractors = xtool_feature_extractors
    module.xtool_datasets = xtool_datasets
    module.load = lambda name, options: PlantedCNN()
    module.scenes = lambda data_dir, split: StandInScenes()
    return module


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """Runs ``xtool`` in an empty folder with the real methods on the stand-ins; fails where the command does.

    With ``refused``, fails where the command does not, and gives what it says then.
    """
    from xtool.cli import main
    from xtool.contracts.registry import registry

    entry_points = importlib.metadata.entry_points

    def replaced(**wanted: Any) -> Any:
        if wanted.get("group") != "xtool":
            return entry_points(**wanted)
        kept = [point for point in entry_points(group="xtool") if point.name in REAL]
        return [*kept, importlib.metadata.EntryPoint("tiny", STAND_INS, "xtool")]

    def call(*words: str, refused: bool = False) -> str:
        result = CliRunner().invoke(main, words)
        if refused:
            assert isinstance(result.exception, SystemExit), result.output
            return result.stderr
        if result.exit_code and result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.stdout

    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, STAND_INS, stand_ins())
    monkeypatch.setattr(importlib.metadata, "entry_points", replaced)
    registry.cache_clear()
    yield call
    registry.cache_clear()


@pytest.mark.parametrize(
    "page", [pytest.param(page, id=name_of(page), marks=WITH_REAL_MODELS.get(page.name, ())) for page in RUNNABLE]
)
def test_blocks_marked_runnable_run(page: Path, run: Callable[..., str]) -> None:
    namespace: dict[str, Any] = {}
    for block in blocks_of(page):
        file = re.fullmatch(r"<!-- file: (\S+) -->", block.marker)
        if file:
            target = Path(file[1])
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.text, "utf-8")
        elif block.marker == RUN and block.language == "python":
            exec(compile(block.text, f"{name_of(page)}:{block.line}", "exec"), namespace)
        elif block.marker == FAILS:
            (words,) = commands_in(block)
            said = run(*words, refused=True)
            assert [line for line in block.text.splitlines()[1:] if line not in said] == [], said
        elif block.marker == RUN:
            commands = list(commands_in(block))
            assert commands, f"line {block.line}: nothing to run"
            for words in commands:
                run(*words)


@pytest.mark.parametrize(
    "block",
    [block for block in BLOCKS if block.language == "python"],
    ids=lambda block: f"{name_of(block.page)}:{block.line}",
)
def test_python_blocks_parse(block: Block) -> None:
    compile(block.text, name_of(block.page), "exec")


def test_the_table_of_record_fields_is_what_a_record_has(run: Callable[..., str]) -> None:
    import json

    run("compare", "--methods", "gradcam", "--limit", "1", "--out", "run")
    record = json.loads(Path("run/records.jsonl").read_text("utf-8"))
    assert table_names(DOCS / "howto/shards.md", "## A record") == set(record)


def test_pages_show_something_to_run() -> None:
    assert {"index.md", "shards.md", "own-data.md", "reading.md"} <= {page.name for page in RUNNABLE}
