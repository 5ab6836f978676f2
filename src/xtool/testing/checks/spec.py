"""Checks of a spec and the plugin it comes from; the same for every kind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import fields
from functools import cache, partial
from typing import Any, TypeVar

from xtool.contracts.registry import Plugin, registry, resolve
from xtool.contracts.specs import EncoderSpec
from xtool.testing.verdict import Case, require

T = TypeVar("T")

IMPORT_ROOT = """
import importlib, json, sys
before = set(sys.modules)
module = importlib.import_module(sys.argv[1])
for hook in json.loads(sys.argv[2]):
    list(getattr(module, hook)() or ())
print(json.dumps(sorted({"torch", "numpy", "open_clip", "torchvision"} & (set(sys.modules) - before))))
"""


def specs_resolve(spec: Any) -> None:
    """Every import string of the spec leads to something, and the summary says what it is."""
    require(bool(spec.summary.strip()), "the summary is empty")
    is_prefix = isinstance(spec, EncoderSpec) and spec.is_prefix
    bare = spec.name.removesuffix(":") if is_prefix else spec.name
    require(bare == bare.strip() and not set(bare) & set(" ,:="), f"{spec.name!r} cannot be typed as a name")
    require(is_prefix or not getattr(spec, "claims", ""), "claims is for a name that ends in a colon")
    for field in fields(spec):
        target = getattr(spec, field.name)
        if field.name in ("factory", "config", "command", "on_disk", "claims", "check_encoder") and target:
            require(callable(resolve(target)), f"{field.name} {target} is not callable")


def root_imports_without_torch(owner: str) -> None:
    """Importing the plugin and collecting its specs imports neither torch nor numpy, so that listing stays fast."""
    plugin = plugin_of(owner)
    problem, heavy = _imports_of(plugin.module, tuple(plugin.hooks))
    require(not problem, f"{plugin.module} cannot be imported alone: {problem}")
    found = f"{plugin.module} imports {', '.join(heavy)}"
    require(not heavy, f"{found}; import them where they are used, not in the root module")


@cache
def _imports_of(module: str, hooks: tuple[str, ...]) -> tuple[str, list[str]]:
    """What went wrong, and which heavy packages came along. Once per plugin: a process for each spec would be slow."""
    found = subprocess.run(
        [sys.executable, "-c", IMPORT_ROOT, module, json.dumps(hooks)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    if found.returncode:
        return found.stderr.strip()[-400:] or "it ends the process", []
    return "", json.loads(found.stdout.splitlines()[-1])


def plugin_of(owner: str) -> Plugin:
    """The plugin of that name."""
    return next(plugin for plugin in registry().plugins if plugin.name == owner)


def spec_cases(owner: str, spec: Any) -> list[Case]:
    """The checks above, for one spec."""
    return [*cases([specs_resolve], spec), *cases([root_imports_without_torch], owner)]


def cases(checks: Iterable[Callable[[T], None]], subject: T, setup: str = "") -> list[Case]:
    """One case for each check of one subject."""
    return [
        Case(check.__name__, setup, (check.__doc__ or "").strip().splitlines()[0], partial(check, subject))
        for check in checks
    ]
