"""Which names of this computer the page answers to, and whether it can listen there at all.

A site elsewhere can make its own name point at this computer (DNS rebinding), and its scripts then talk to the page as
to themselves. What gives them away is the name, which every request says.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

from xtool.plugin import UsageError

__all__ = ["LOCAL", "KnownHosts", "check_address", "names_for"]

LOCAL = ("localhost", "127.0.0.1", "::1")

REFUSAL = b"xtool app answers to localhost only. Whoever starts it can let others in: --host 0.0.0.0.\n"
POLICY_VIOLATION = 1008
"""Of a WebSocket (RFC 6455, 7.4.1); before the handshake the server says 403 for it."""

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[Message, Receive, Send], Awaitable[None]]


def names_for(host: str) -> tuple[str, ...]:
    """The names that a page listening on ``host`` answers to; none for any, as whoever lets others in expects."""
    return LOCAL if host in LOCAL else ()


class KnownHosts:
    """Middleware: 403 for a request to another name than those given."""

    def __init__(self, app: Asgi, names: Sequence[str]) -> None:
        self._app = app
        self._names = frozenset(names)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or not self._names or _asked(scope) in self._names:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": POLICY_VIOLATION})
        else:
            headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(REFUSAL)).encode())]
            await send({"type": "http.response.start", "status": 403, "headers": headers})
            await send({"type": "http.response.body", "body": REFUSAL})


def _asked(scope: Message) -> str | None:
    """The name in the Host header, without port and brackets; ``None`` where there is not exactly one header."""
    hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
    if len(hosts) != 1:
        return None
    host: str = hosts[0]
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].rstrip(".").lower()


def check_address(host: str, port: int) -> None:
    """See whether a page can be served there.

    Raises:
        UsageError: no such address, one of another computer, or a port in use.
    """
    try:
        if not host.strip():
            raise socket.gaierror
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError):  # the second for names that no name server could be asked about
        raise UsageError(f"--host {host!r} is no address; try localhost, or 0.0.0.0 to let others in") from None
    family, kind, protocol, _, address = found[0]
    try:
        with socket.socket(family, kind, protocol) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise UsageError(f"port {port} is in use; choose another with --port") from None
        if error.errno == errno.EADDRNOTAVAIL:
            raise UsageError(f"--host {host!r} is not an address of this computer") from None
        raise UsageError(f"the page cannot be served at {host}, port {port}: {error.strerror}") from None
