"""What is built is what is needed: every distribution's wheel, installed into an empty environment."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PLUGINS = sorted(folder.name for folder in (ROOT / "plugins").iterdir() if (folder / "pyproject.toml").is_file())

pytestmark = [pytest.mark.slow, pytest.mark.skipif(shutil.which("uv") is None, reason="needs uv to build and install")]


def run(*words: str, cwd: Path = ROOT) -> str:
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, env={**clean, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("wheels")
    run("uv", "build", "--all-packages", "--wheel", "--quiet", "--out-dir", str(folder))
    return sorted(folder.glob("*.whl"))


def test_there_is_a_wheel_for_each_distribution(wheels: list[Path]) -> None:
    built = {wheel.name.partition("-")[0].replace("_", "-") for wheel in wheels}
    assert built == {"xtool-saliency", *PLUGINS}


def test_the_core_wheel_holds_every_module_and_template_of_the_source(wheels: list[Path]) -> None:
    (core,) = (wheel for wheel in wheels if wheel.name.startswith("xtool_saliency-"))
    held = {name for name in zipfile.ZipFile(core).namelist() if name.startswith("xtool/")}
    source = ROOT / "src"
    files = {
        path.relative_to(source).as_posix()
        for path in source.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert held == files


def test_a_comparison_runs_from_the_wheels_in_an_empty_environment(wheels: list[Path], tmp_path: Path) -> None:
    locked, environment = tmp_path / "locked.txt", tmp_path / "environment"
    # The locked versions, so that the test does not depend on what was released today.
    run(
        "uv", "export", "--locked", "--quiet", "--all-packages", "--all-extras", "--no-dev", "--no-hashes",
        "--no-emit-workspace", "--output-file", str(locked),
    )  # fmt: skip
    run("uv", "venv", "--quiet", str(environment))
    python = environment / "bin" / "python"
    extras = [f"{wheel}[lite0]" if "timm" in wheel.name else str(wheel) for wheel in wheels]
    run("uv", "pip", "install", "--quiet", "--python", str(python), "--constraint", str(locked), *extras)
    plugins = json.loads(run(str(python), "-m", "xtool", "plugins", "--json", cwd=tmp_path))["plugins"]
    assert {plugin["status"] for plugin in plugins} == {"ok"}, plugins
    assert {plugin["distribution"] for plugin in plugins} == {"xtool-saliency", *PLUGINS}
    command = ("compare", "--methods", "gradcam,center", "--limit", "2", "--json")
    compared = json.loads(run(str(environment / "bin" / "xtool"), *command, cwd=tmp_path))
    assert [row["method"] for row in compared["rows"]] == ["gradcam", "center"]
    assert compared["images"] == 2
