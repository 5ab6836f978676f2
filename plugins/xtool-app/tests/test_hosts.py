"""Which requests the page answers, and where it can listen."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
from click.testing import CliRunner

from xtool.cli import main
from xtool.plugin import UsageError
from xtool_app.hosts import KnownHosts, check_address, names_for


def asked(*hosts: str, kind: str = "http", listening: str = "localhost") -> list[dict[str, Any]]:
    """What is sent in answer to a request with these Host headers."""
    sent: list[dict[str, Any]] = []

    async def page(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "page"})

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": f"{kind}.connect"}

    scope = {"type": kind, "headers": [(b"host", host.encode("latin-1")) for host in hosts]}
    asyncio.run(KnownHosts(page, names_for(listening))(scope, receive, send))
    return sent


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8501", "localhost.", "127.0.0.1:9", "[::1]", "[::1]:8501"])
@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_this_computer_is_answered(host: str, kind: str) -> None:
    assert asked(host, kind=kind) == [{"type": "page"}]


@pytest.mark.parametrize(
    "hosts",
    [
        ("evil.example",), ("evil.example:8501",), ("localhost.evil.example",), ("127.0.0.1.evil.example:8501",),
        ("evil.example@localhost",), ("[::2]",), ("",), (), ("localhost", "evil.example"), ("\xe9",),
    ],
)  # fmt: skip
def test_another_name_is_refused(hosts: tuple[str, ...]) -> None:
    start, body = asked(*hosts)
    assert start["status"] == 403
    assert b"localhost" in body["body"]
    (closed,) = asked(*hosts, kind="websocket")
    assert closed["type"] == "websocket.close"  # before it is accepted: the server answers 403


def test_who_lets_others_in_is_reached_by_any_name() -> None:
    assert asked("gpu.example:8501", listening="0.0.0.0") == [{"type": "page"}]


@pytest.mark.parametrize(
    "host", ["", " ", "no such host", "a..b", "x" * 70 + ".y", "[::1]", "unix:///tmp/x", "1.2.3.4.5"]
)
def test_a_host_that_is_none_is_told_in_one_line(host: str) -> None:
    result = CliRunner().invoke(main, ["app", "--host", host])
    assert result.exit_code == 2
    assert "--host" in result.output
    assert "Traceback" not in result.output


def test_an_address_of_another_computer_is_told() -> None:
    with pytest.raises(UsageError, match="not an address of this computer"):
        check_address("192.0.2.1", 8501)  # reserved for documentation, RFC 5737


def test_a_port_in_use_is_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UsageError, match=r"in use.*--port"):
            check_address("127.0.0.1", taken.getsockname()[1])
