"""``xtool new-plugin``: what it writes works at once, whatever the kind, and it writes nothing where it should not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from xtool.contracts.registry import registry
from xtool.errors import UsageError
from xtool.scaffold.names import check_name
from xtool.scaffold.write import KINDS, new_plugin

ROOT = Path(__file__).resolve().parents[1]
CSV = "image,label,x0,y0,x1,y1\na.png,red,5,6,20,25\nb.png,green,0,0,30,40\n"


def install(folder: Path) -> Path:
    """What an installer would put on the path: the package and a dist-info folder with its entry point."""
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    info = folder / "src" / f"{project['name'].replace('-', '_')}-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 0.1.0\n")
    ((name, module),) = project["entry-points"]["xtool"].items()
    (info / "entry_points.txt").write_text(f"[xtool]\n{name} = {module}\n")
    return folder / "src"


def run_its_tests(folder: Path, path: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        ("method", ["--encoder", "planted-cnn", "--methods", "my-method:grid=4", "--dataset", "patches"]),
        (
            "encoder",
            ["--encoder", "my-encoder", "--pretrained", "none", "--methods", "everywhere", "--dataset", "patches"],
        ),
        (
            "features",
            ["--encoder", "planted-cnn", "--methods", "colourcam:features=my-features", "--dataset", "patches"],
        ),
        (
            "dataset",
            ["--encoder", "planted-cnn", "--methods", "colourcam", "--dataset", "my-dataset", "--data-dir", "data"],
        ),
    ],
)
def test_a_new_plugin_takes_part_in_a_comparison(
    xtool: Any, monkeypatch: pytest.MonkeyPatch, kind: str, arguments: list[str]
) -> None:
    from PIL import Image

    (xtool.folder / "data").mkdir()
    for name in ("a", "b"):
        Image.new("RGB", (40, 40), "red").save(xtool.folder / "data" / f"{name}.png")
    (xtool.folder / "data" / "boxes.csv").write_text(CSV)
    assert xtool("new-plugin", f"my-{kind}", "--kind", kind, "new").returncode == 0
    monkeypatch.syspath_prepend(install(xtool.folder / "new" / f"xtool-my-{kind}"))
    done = xtool("compare", *arguments, "--limit", "2", "--out", "run", "--json")
    assert done.returncode == 0, done.stderr
    assert '"images": 2' in done.stdout


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("my method", "PEP 508"),
        ("-method", "PEP 508"),
        ("méthode", "PEP 508"),
        ("9lives", "start with a letter"),
        ("table", "exists already, in plugin core"),
        ("xtool-table", "exists already, in plugin core"),
    ],
)
def test_a_bad_or_taken_name_is_refused(name: str, told: str) -> None:
    registry.cache_clear()
    with pytest.raises(UsageError, match=told):
        check_name(name, registry())


def test_a_prefix_that_is_given_is_not_doubled() -> None:
    names = check_name("XTool_My.Method", registry())
    assert (names.spec, names.distribution, names.module, names.cls) == (
        "my-method",
        "xtool-my-method",
        "xtool_my_method",
        "MyMethod",
    )


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    kept = tmp_path / "xtool-mine" / "README.md"
    kept.parent.mkdir()
    kept.write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
        new_plugin("mine", "method", tmp_path)
    assert [path.name for path in kept.parent.iterdir()] == ["README.md"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_new_plugin_builds_and_passes_its_own_tests_from_its_wheel(kind: str, tmp_path: Path) -> None:
    """The true way: build the wheel, install it into a folder of its own, and run its tests against that."""
    if shutil.which("uv") is None:
        pytest.skip("needs uv to build and install")
    new_plugin(f"my-{kind}", kind, tmp_path)
    folder, site = tmp_path / f"xtool-my-{kind}", tmp_path / "site"
    command = ["uv", "pip", "install", "--quiet", "--no-deps", "--target", str(site), str(folder)]
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    done = run_its_tests(folder, site)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout
    assert "failed" not in done.stdout


@pytest.mark.slow
def test_the_example_passes_its_own_tests(tmp_path: Path) -> None:
    """``examples/xtool-rise`` is a repository of its own; here it runs against this xtool."""
    copy = tmp_path / "xtool-rise"
    shutil.copytree(ROOT / "examples" / "xtool-rise", copy)
    done = run_its_tests(copy, install(copy))
    assert done.returncode == 0, done.stdout + done.stderr
