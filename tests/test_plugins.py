"""Discovery, with real distributions on the path: good ones work, bad ones are shown and hurt nobody."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from xtool.contracts.catalogue import Catalogue, Provided
from xtool.contracts.registry import registry, resolve
from xtool.contracts.specs import EncoderSpec, SaliencyMethodSpec
from xtool.errors import SetupError, UsageError

GOOD = """
from xtool.plugin import SaliencyMethodSpec, hookimpl
@hookimpl
def xtool_saliency_methods():
    yield SaliencyMethodSpec(name="{method}", factory="x:y", config="x:z", summary="A stranger's method.")
"""


WORDS = {"vlscore", "random", "center"}
"""Names of methods that mean something else in the core, too: a protocol, a kind of weights, a place."""


def install(folder: Path, name: str, module: str) -> None:
    """Put a distribution on the path as an installer would: a module and a dist-info folder with an entry point."""
    (folder / f"{name}_plugin.py").write_text(textwrap.dedent(module))
    info = folder / f"xtool_{name}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: xtool-{name}\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(f"[xtool]\n{name} = {name}_plugin\n")


def xtool(*arguments: str, path: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **environment}
    if path is not None:
        env["PYTHONPATH"] = str(path)
    return subprocess.run([sys.executable, "-m", "xtool", *arguments], capture_output=True, text=True, env=env)


def plugins(path: Path, *flags: str, **environment: str) -> dict[str, Any]:
    done = xtool(*flags, "plugins", "--json", path=path, **environment)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    return {"conflicts": found["conflicts"], **{plugin["name"]: plugin for plugin in found["plugins"]}}


def test_a_strangers_plugin_is_found_with_its_version(tmp_path: Path) -> None:
    install(tmp_path, "good", GOOD.format(method="theirs"))
    found = plugins(tmp_path)["good"]
    assert (found["distribution"], found["version"], found["status"]) == ("xtool-good", "1.2", "ok")
    assert found["hooks"] == ["xtool_saliency_methods"]


@pytest.mark.parametrize(
    ("module", "status", "told"),
    [
        ("raise RuntimeError('no luck')", "error", "RuntimeError: no luck"),
        ("import a_package_that_is_not_there", "error", "a_package_that_is_not_there"),
        ("raise SystemExit(3)", "error", "SystemExit"),
        (GOOD.format(method="m").replace("xtool_saliency_methods", "xtool_saliency_method"), "error", "unknown hook"),
        ("x = 1", "error", "implements no hook"),
        (GOOD.format(method="m").replace("yield SaliencyMethodSpec(", "yield dict("), "error", "SaliencyMethodSpec"),
        ("XTOOL_API = 3\n" + GOOD.format(method="m"), "incompatible", "pip install --upgrade xtool-saliency"),
        ("XTOOL_API = 1\n" + GOOD.format(method="m"), "incompatible", "in API 2, names are imported from xtool.plugin"),
        ("from xtool.hookspecs import hookimpl", "error", "names are imported from xtool.plugin"),
    ],
    ids=["raises", "missing import", "exits", "misspelt hook", "no hook", "no spec", "newer", "older", "old names"],
)
def test_a_bad_plugin_is_shown_and_hurts_nobody(tmp_path: Path, module: str, status: str, told: str) -> None:
    install(tmp_path, "bad", module)
    install(tmp_path, "good", GOOD.format(method="theirs"))
    found = plugins(tmp_path)
    assert found["bad"]["status"] == status
    assert told in found["bad"]["error"]
    assert found["good"]["status"] == "ok"
    assert found["core"]["status"] == "ok"
    assert "Traceback" not in xtool("plugins", path=tmp_path).stderr


@pytest.mark.slow
def test_a_plugin_whose_import_never_ends_is_named_and_can_be_left_out(tmp_path: Path) -> None:
    install(tmp_path, "endless", "import time\nprint('begun', flush=True)\nwhile True:\n    time.sleep(0.01)\n")
    command = [sys.executable, "-m", "xtool", "plugins", "--json"]
    env = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=env,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background job's children ignore it
    ) as process:
        assert process.stderr is not None
        told = [process.stderr.readline(), process.stderr.readline()]
        process.send_signal(signal.SIGINT)
        try:
            stdout, stderr = process.communicate(timeout=60)
        finally:
            process.kill()  # or a failure would wait for what never ends
    assert told[0] == "begun\n", "what a plugin prints is no JSON"
    assert told[1].startswith("still loading the plugin endless; Ctrl-C stops it, and `xtool --no-plugin endless")
    assert (process.returncode, stdout) == (2, "")
    assert stderr.startswith("Error: interrupted while the plugin endless was loading")
    assert plugins(tmp_path, "--no-plugin", "endless")["endless"]["status"] == "disabled"


def test_two_providers_of_one_name_stay_reachable_by_their_owners(tmp_path: Path) -> None:
    install(tmp_path, "one", GOOD.format(method="twin"))
    install(tmp_path, "two", GOOD.format(method="twin"))
    found = plugins(tmp_path)
    assert found["conflicts"] == [{"kind": "method", "name": "twin", "providers": ["one:twin", "two:twin"]}]
    bare = xtool("methods", "twin", path=tmp_path)
    assert bare.returncode == 2
    assert "one:twin or two:twin" in bare.stderr
    listed = xtool("methods", path=tmp_path).stdout
    assert "one:twin" in listed
    assert "two:twin" in listed


COMMAND = """
import click
from xtool.plugin import CommandSpec, hookimpl
@hookimpl
def xtool_commands():
    yield CommandSpec(name="{name}", command="{package}_plugin:run", summary="Greets.")
@click.command()
def run():
    click.echo("{package} says hello")
"""


def test_a_plugins_command_runs_and_is_listed(tmp_path: Path) -> None:
    install(tmp_path, "polite", COMMAND.format(name="greet", package="polite"))
    assert xtool("greet", path=tmp_path).stdout == "polite says hello\n"
    assert re.search(r"^  greet +Greets\.$", xtool("--help", path=tmp_path).stdout, re.MULTILINE)
    refused = xtool("--no-plugin", "polite", "greet", path=tmp_path)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "unknown command 'greet'" in refused.stderr


def test_no_plugin_takes_the_name_of_a_core_command(tmp_path: Path) -> None:
    install(tmp_path, "thief", COMMAND.format(name="methods", package="thief"))
    found = plugins(tmp_path)
    assert found["conflicts"] == [
        {"kind": "command", "name": "methods", "providers": ["core:methods", "thief:methods"]}
    ]
    assert "hello" not in xtool("methods", path=tmp_path).stdout
    assert xtool("thief:methods", path=tmp_path).stdout == "thief says hello\n"
    assert "thief:methods" in xtool("--help", path=tmp_path).stdout


def test_two_plugins_with_one_command_stay_reachable_by_their_owners(tmp_path: Path) -> None:
    for name in ("one", "two"):
        install(tmp_path, name, COMMAND.format(name="greet", package=name))
    refused = xtool("greet", path=tmp_path)
    assert refused.returncode == 2
    assert "one:greet or two:greet" in refused.stderr
    assert xtool("two:greet", path=tmp_path).stdout == "two says hello\n"


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("polite_plugin:nothing", "polite_plugin:nothing cannot be imported"),
        ("polite_plugin:hookimpl", "not a click command"),
    ],
)
def test_a_broken_command_is_told_without_a_traceback(tmp_path: Path, target: str, told: str) -> None:
    module = COMMAND.format(name="greet", package="polite").replace("polite_plugin:run", target)
    install(tmp_path, "polite", module)
    broken = xtool("greet", path=tmp_path)
    assert broken.returncode == 2
    assert told in broken.stderr
    assert "Traceback" not in broken.stderr
    assert xtool("datasets", path=tmp_path).returncode == 0


def test_a_plugin_can_be_blocked_by_variable_and_by_flag(tmp_path: Path) -> None:
    install(tmp_path, "bad", "raise RuntimeError('must not be imported')")
    assert plugins(tmp_path, XTOOL_DISABLE_PLUGINS="bad")["bad"]["status"] == "disabled"
    assert plugins(tmp_path, "--no-plugin", "bad")["bad"]["status"] == "disabled"


@pytest.mark.parametrize("command", [["--help"], ["plugins"], ["methods"], ["compare", "--help"]])
def test_looking_around_imports_nothing_heavy(command: list[str]) -> None:
    code = (
        "import sys, atexit\n"
        "atexit.register(lambda: print(sorted({'torch', 'numpy', 'streamlit'} & set(sys.modules)), file=sys.stderr))\n"
        f"sys.argv = ['xtool', *{command!r}]\n"
        "from xtool.cli import main\nmain()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip().splitlines()[-1] == "[]"


def test_import_xtool_imports_neither_torch_nor_numpy() -> None:
    code = "import sys, xtool; print(sorted({'torch', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_the_default_is_what_plugins_suggest_highest_first() -> None:
    ranked = [("second", 1), ("never", 0), ("first", 2)]
    methods = Catalogue(
        "method",
        "methods",
        [
            Provided("own", SaliencyMethodSpec(name=name, factory="a:b", config="a:c", summary="", suggested=rank))
            for name, rank in ranked
        ],
    )
    assert [item.spec.name for item in methods.suggested()] == ["first", "second"]
    assert methods.default().spec.name == "first"


def test_without_a_default_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = ["numpy>=1", "xtool-gone>=0.1; extra == 'methods'", "numpy; extra == 'methods'", 'other; extra == "all"']
    monkeypatch.setattr("importlib.metadata.requires", lambda name: wanted)
    empty: Catalogue[SaliencyMethodSpec] = Catalogue("method", "methods", [], extra="methods")
    way_out = r'xtool-gone is not installed here: pip install "xtool-saliency\[methods\]"$'
    with pytest.raises(UsageError, match=f"no method is named, and none .* {way_out}"):
        empty.default()
    with pytest.raises(UsageError, match=f"unknown method 'theirs'; .* {way_out}"):
        empty.find("theirs")


@pytest.mark.parametrize("arguments", [("compare",), ("explain",), ("app",), ("reproduce", "table1")])
def test_without_plugins_each_command_says_what_is_missing_in_one_line(arguments: tuple[str, ...]) -> None:
    done = xtool(*arguments, XTOOL_DISABLE_PLUGINS="app,cam,clip,timm,tiny,vlscore")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1].startswith("Error: ")
    assert "Traceback" not in done.stderr


def test_the_core_names_no_plugin_encoder_or_method() -> None:
    """Defaults come from specs. Names in help texts and docstrings are examples, and not looked at."""
    found = registry()
    own = {item.spec.name for kind in found.catalogues() for item in kind if item.owner == "core"}
    named = {item.spec.name for kind in (found.encoders, found.saliency_methods) for item in kind} | {"scenes"}
    packages = {plugin.module.replace("_", "-") for plugin in found.plugins if plugin.name != "core"}
    source = Path(str(importlib.util.find_spec("xtool").origin)).parent  # type: ignore[union-attr]
    wrong = [
        f"{file.relative_to(source)}:{node.lineno}: {node.value!r}"
        for file in source.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Constant) and node.value in (named | packages) - own - WORDS
    ]
    assert wrong == []


def catalogue(*names: str) -> Catalogue[SaliencyMethodSpec]:
    return Catalogue(
        "method",
        "methods",
        [Provided("own", SaliencyMethodSpec(name=n, factory="a:b", config="a:c", summary="")) for n in names],
    )


def test_an_unknown_name_gets_the_nearest_ones() -> None:
    with pytest.raises(UsageError, match="did you mean gradcam"):
        catalogue("gradcam", "vlscore").find("gradcm")


def test_a_qualified_name_finds_the_owners() -> None:
    assert catalogue("gradcam").find("own:gradcam").owner == "own"
    with pytest.raises(UsageError, match="unknown method"):
        catalogue("gradcam").find("other:gradcam")


@pytest.mark.parametrize(
    "text", ["no_colon", "xtool.contracts.specs:", "xtool.contracts.specs:Nothing", "xtool.nowhere:x"]
)
def test_a_broken_import_string_is_told(text: str) -> None:
    with pytest.raises(SetupError, match=text):
        resolve(text)


def test_the_default_knows_what_is_shown_where_one_does() -> None:
    encoders = Catalogue(
        "encoder",
        "encoders",
        [
            Provided("own", EncoderSpec(name=name, factory="a:b", summary="", knows=knows, suggested=rank))
            for name, knows, rank in (("drawn", "pictograms", 1), ("photo", "photographs", 2), ("never", "sketches", 0))
        ],
    )
    assert encoders.default("pictograms").spec.name == "drawn"
    assert encoders.default("photographs").spec.name == "photo"
    assert encoders.default("sketches").spec.name == "photo", "the highest of any kind, as none that is suggested knows"
