"""``xtool app`` on the command line."""

from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner

from xtool.cli import main
from xtool_app.command import server_arguments


def test_a_misspelt_encoder_is_told_before_the_server_starts(planted: Any) -> None:
    pytest.importorskip("streamlit")
    result = CliRunner().invoke(main, ["app", "--encoder", "planted-cn"])
    assert result.exit_code == 2
    assert "did you mean planted-cnn" in result.output


def test_the_server_is_private_and_quiet() -> None:
    arguments = server_arguments("localhost", 9000)
    assert {"--server.address=localhost", "--server.port=9000", "--browser.gatherUsageStats=false"} <= set(arguments)
    assert "--client.showErrorDetails=none" in arguments


def test_every_server_option_is_one_that_streamlit_knows() -> None:
    config = pytest.importorskip("streamlit.config")
    for argument in server_arguments("localhost", 9000)[2:]:
        name, _, _ = argument.removeprefix("--").partition("=")
        config.get_option(name)


def test_others_are_let_in_only_when_asked_for_and_told_so(planted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    cli = pytest.importorskip("streamlit.web.cli")
    started: list[list[str]] = []
    monkeypatch.setattr(cli, "main", lambda arguments, **_: started.append(arguments))
    alone = CliRunner().invoke(main, ["app", "--encoder", "planted-cnn"])
    open_ = CliRunner().invoke(main, ["app", "--encoder", "planted-cnn", "--host", "0.0.0.0"])
    assert (alone.exit_code, open_.exit_code) == (0, 0), (alone.output, open_.output)
    assert "whoever reaches this address" not in alone.output
    assert "whoever reaches this address" in open_.output
    assert "--server.address=localhost" in started[0]
    assert "--server.address=0.0.0.0" in started[1]
