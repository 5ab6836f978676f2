"""Fill the templates in and write the files of a new plugin."""

from __future__ import annotations

from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from string import Template

from xtool.contracts.registry import API_VERSION, registry
from xtool.errors import UsageError
from xtool.scaffold.names import Names, check_name

KINDS = ("method", "encoder", "features", "dataset")


def new_plugin(name: str, kind: str, parent: Path) -> list[Path]:
    """Write the plugin ``name`` of one kind into a new folder under ``parent``, and return its files.

    Raises :class:`xtool.plugin.UsageError` for a bad or taken name, or a folder that exists already.
    """
    if kind not in KINDS:
        raise UsageError(f"kind must be one of {', '.join(KINDS)}, not {kind!r}")
    names = check_name(name, registry())
    folder = parent / names.distribution
    if folder.exists():
        raise UsageError(f"{folder} exists already; nothing was written")
    written = []
    for path, content in render(names, kind).items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content, encoding="utf-8")
        written.append(target)
    return written


def render(names: Names, kind: str) -> dict[str, str]:
    """The files of a plugin: path in its folder → content."""
    package = f"src/{names.module}"
    placed = {
        "pyproject.toml": _template(kind, "pyproject.toml") or _template("common", "pyproject.toml"),
        "README.md": _template("common", "README.md"),
        "tox.ini": _template("common", "tox.ini"),
        ".gitignore": _template("common", "gitignore"),
        f"{package}/__init__.py": _template(kind, "__init__.py"),
        f"{package}/py.typed": "",
        f"{package}/{kind}.py": _template(kind, f"{kind}.py"),
        f"tests/test_{names.module.removeprefix('xtool_')}.py": _template(kind, "test.py"),
    }
    if config := _template(kind, "config.py"):
        placed[f"{package}/config.py"] = config
    values = {
        "spec": names.spec,
        "distribution": names.distribution,
        "module": names.module,
        "cls": names.cls,
        "kind": kind,
        "api": str(API_VERSION),
        "bounds": _bounds(version("xtool-saliency")),
        "try_it": TRY_IT[kind].format(spec=names.spec),
    }
    return {path: Template(template).substitute(values) for path, template in placed.items()}


TRY_IT = {
    "method": "xtool compare --methods {spec},center --limit 20",
    "encoder": "xtool compare --encoder {spec} --pretrained none --methods vlscore,center --limit 5",
    "features": "xtool compare --methods vlscore:features={spec},vlscore --limit 20",
    "dataset": "xtool compare --dataset {spec} --data-dir FOLDER --methods vlscore,center",
}


def _template(folder: str, name: str) -> str:
    source = files("xtool.scaffold").joinpath("templates", folder, f"{name}.tmpl")
    return source.read_text(encoding="utf-8") if source.is_file() else ""


def _bounds(installed: str) -> str:
    """From the version at hand to the next major one, which may break the hooks."""
    major, minor = installed.split(".")[:2]
    return f">={major}.{minor},<{int(major) + 1}"
