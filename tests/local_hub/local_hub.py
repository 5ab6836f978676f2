"""A Hugging Face hub on this machine: what is planted comes through the real client, with the faults of a bad line.

Root ``conftest.py`` offers it to the tests of the core and of every plugin, as the fixture ``local_hub``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Literal
from urllib.parse import unquote

COMMIT = "0123456789" * 4
LARGE = 1024
"""Files from here on are called by their SHA-256, as the hub's large files are; smaller ones by git's SHA-1."""

Fault = Literal["dropped", "truncated", "corrupt"]
"""``dropped`` closes the connection half-way, ``truncated`` says that half the file is all, ``corrupt`` flips a bit."""


class LocalHub:
    """Repositories by name, on a loopback address."""

    def __init__(self) -> None:
        self.repositories: dict[str, dict[str, bytes]] = {}
        """Files of each ``org/name``, by their name in it."""
        self.faults: dict[str, list[Fault]] = {}
        """By file name: what happens to its next downloads, one each, until none is left."""
        self.requests: list[str] = []
        """Method and path of each, in order."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    @property
    def url(self) -> str:
        """For ``HF_ENDPOINT``."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def add(self, repository: str, files: Mapping[str, bytes]) -> None:
        """Plant files under their names."""
        self.repositories.setdefault(repository, {}).update(files)

    def add_folder(self, repository: str, folder: Path) -> None:
        """Plant every file of a folder."""
        self.add(repository, {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()})

    def stop(self) -> None:
        """From now on nobody answers."""
        self._server.shutdown()
        self._server.server_close()


def etag(content: bytes) -> str:
    """What the hub calls a file."""
    if len(content) >= LARGE:
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()


def _handler(hub: LocalHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Into the list of requests instead of to the terminal."""

        def _answer(self, *, with_body: bool) -> None:
            path = unquote(self.path.partition("?")[0]).strip("/")
            hub.requests.append(f"{self.command} {path}")
            if path.startswith("api/models/"):
                self._tell_about("/".join(path.split("/")[2:4]), *path.split("/")[4:])
                return
            repository, _, rest = path.partition("/resolve/")
            filename = rest.partition("/")[2]  # behind the revision
            files = hub.repositories.get(repository)
            if files is None:
                self._refuse("RepoNotFound", f"no repository {repository}")
            elif filename not in files:
                self._refuse("EntryNotFound", f"no file {filename}")
            else:
                self._send(filename, files[filename], with_body=with_body)

        def _tell_about(self, repository: str, what: str = "", revision: str = "", folder: str = "") -> None:
            files = hub.repositories.get(repository)
            if files is None:
                self._refuse("RepoNotFound", f"no repository {repository}")
                return
            if folder:
                self._refuse("EntryNotFound", f"no folder {folder}")
                return
            told: Any = {"id": repository, "sha": COMMIT, "siblings": [{"rfilename": name} for name in files]}
            if what == "tree":
                told = [
                    {"type": "file", "path": name, "size": len(content), "oid": etag(content)}
                    for name, content in files.items()
                ]
            self._write(HTTPStatus.OK, {"Content-Type": "application/json"}, json.dumps(told).encode())

        def _refuse(self, code: str, message: str) -> None:
            headers = {"X-Error-Code": code, "X-Error-Message": message}
            if code == "EntryNotFound":
                headers["X-Repo-Commit"] = COMMIT
            self._write(HTTPStatus.NOT_FOUND, headers, b"")

        def _send(self, filename: str, content: bytes, *, with_body: bool) -> None:
            headers = {"ETag": f'"{etag(content)}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
            headers["X-Linked-Size"] = str(len(content))
            waiting = hub.faults.get(filename, [])
            fault = waiting.pop(0) if with_body and waiting else None
            start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0])
            body = content[start:]
            if fault == "truncated":
                body = body[: len(body) // 2]
            elif fault == "corrupt":
                body = bytes([body[0] ^ 1]) + body[1:]
            status = HTTPStatus.PARTIAL_CONTENT if start else HTTPStatus.OK
            if start:
                headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self._write(status, headers, body if with_body else None, len(body), dropped=fault == "dropped")

        def _write(
            self,
            status: HTTPStatus,
            headers: Mapping[str, str],
            body: bytes | None,
            length: int | None = None,
            *,
            dropped: bool = False,
        ) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body or b"") if length is None else length))
            self.end_headers()
            with suppress(ConnectionError):  # the client may have gone
                self.wfile.write((body or b"")[: len(body or b"") // 2] if dropped else body or b"")
            self.close_connection = True

    return Handler
