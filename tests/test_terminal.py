"""Names and texts are shown as they are; unwritable output, and errors that nobody foresaw, end in words."""

from __future__ import annotations

import errno
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from xtool.cli import main
from xtool.cli.terminal import console, json_option, print_json, printable
from xtool.errors import SetupError


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("red fox", "red fox"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("\x1b[2Jgone", r"\x1b[2Jgone"),
        ("over\rwritten", r"over\rwritten"),
        ("abc\u202egpj.exe", r"abc\u202egpj.exe"),
        ("\u2066isolated\u2069", r"\u2066isolated\u2069"),
        ("\x9b31m", r"\x9b31m"),
        ("lone \udcff", r"lone \udcff"),
        ("é 日本 العربية 👩\u200d🚒", "é 日本 العربية 👩\u200d🚒"),
    ],
)
def test_what_a_terminal_would_obey_is_written_out(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_markup_and_control_characters_in_a_table_are_text(monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.table import Table

    monkeypatch.setenv("COLUMNS", "100")
    stream = io.StringIO()
    terminal = console()
    terminal.file = stream
    table = Table(title="[bold]x[/bold]")
    table.add_column("name")
    table.add_row("[red]:smile: \x1b[31m[/]")
    terminal.print(table)
    assert r"[red]:smile: \x1b[31m[/]" in stream.getvalue()
    assert "[bold]x[/bold]" in stream.getvalue()


def test_a_terminal_of_no_width_is_taken_for_an_ordinary_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "0")
    assert console().width == 80


@click.command()
@json_option
def chatty(*, as_json: bool) -> None:
    print("a plugin greets")
    print_json({"é": 1.5})


def test_json_is_alone_on_standard_output() -> None:
    done = CliRunner().invoke(chatty, ["--json"])
    assert json.loads(done.stdout) == {"é": 1.5}
    assert done.stderr == "a plugin greets\n"


def test_json_never_holds_what_is_no_number() -> None:
    @click.command()
    @json_option
    def wrong(*, as_json: bool) -> None:
        print_json(float("nan"))

    assert isinstance(CliRunner().invoke(wrong, ["--json"]).exception, ValueError)


@pytest.mark.parametrize(
    ("error", "told", "code"),
    [
        (OSError(errno.EMFILE, "Too many open files", "a.jpg"), "Error: a.jpg: Too many open files", 1),
        (OSError(errno.ENOSPC, "No space left on device"), "Error: No space left on device", 1),
        (MemoryError(), "Error: not enough memory", 1),
        (RecursionError(), "Error: something is nested too deeply", 1),
        (SetupError("no \x1b[31mdevice"), r"Error: no \x1b[31mdevice", 2),
        (ImportError("libtorch.so: cannot map"), "Error: a library cannot be loaded (libtorch.so: cannot map)", 1),
        (UnicodeEncodeError("utf-8", "\udcff", 0, 1, "surrogates"), "Error: a text or a file's name", 1),
    ],
)
def test_what_nobody_foresaw_is_told_in_a_line(
    error: BaseException, told: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(click.Group, "invoke", fails)
    done = CliRunner().invoke(main, ["methods"])
    assert done.exit_code == code
    assert done.stderr.startswith(told)
    assert done.stderr.count("\n") == 1


def xtool(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    given = {"capture_output": True, "text": True, **options}
    return subprocess.run([sys.executable, "-m", "xtool", *arguments], **given)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_standard_output_is_told() -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = xtool("--version", stdout=full, stderr=subprocess.PIPE, capture_output=False)
    assert (done.returncode, done.stderr) == (1, "Error: No space left on device\n")


def test_a_closed_standard_output_is_no_fault() -> None:
    done = xtool("--version", preexec_fn=lambda: os.close(1), stdout=None, stderr=subprocess.PIPE, capture_output=False)
    assert done.stderr == ""


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_letters_that_a_terminal_lacks_are_replaced(encoding: str) -> None:
    done = xtool(
        "methods", "日本", env={**os.environ, "PYTHONIOENCODING": encoding}, encoding=encoding, errors="replace"
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "unknown method" in done.stderr


def test_a_backend_of_matplotlib_that_is_not_installed_is_not_asked_for(tmp_path: Path) -> None:
    figure = """
import os, sys
os.environ["MPLBACKEND"] = "module://a_notebook.backend"
from xtool.cli import main
main(["features", "--colour-map", "nonsense"])
"""
    done = subprocess.run([sys.executable, "-c", figure], capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, "there is no colour map 'nonsense'" in done.stderr) == (2, True), done.stderr
