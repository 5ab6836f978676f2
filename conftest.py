"""What tests of the core and of plugins share."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

if TYPE_CHECKING:
    from local_hub import LocalHub

PLANTED_PLUGIN = Path(__file__).parent / "tests" / "planted_plugin"
LOCAL_HUB = Path(__file__).parent / "tests" / "local_hub"
SHARED_DATA = Path(__file__).resolve().parents[1] / "shared" / "data"


def pytest_configure(config: pytest.Config) -> None:
    """Compile modules once, not in every process that a test starts, also where nothing may be written beside sources.

    With ``PYTHONDONTWRITEBYTECODE`` set, to import torch takes each of them 2 seconds more.
    """
    if os.environ.pop("PYTHONDONTWRITEBYTECODE", None):
        compiled = config.rootpath / ".pytest_cache" / "bytecode"
        sys.pycache_prefix = os.environ["PYTHONPYCACHEPREFIX"] = str(compiled)
        # Of folders of earlier tests, which nobody imports from again.
        folders = Path(tempfile.gettempdir())
        shutil.rmtree(compiled / folders.relative_to(folders.anchor), ignore_errors=True)
        sys.dont_write_bytecode = False


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real photographs with real boxes, which lie beside the project."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"needs the real photographs in {SHARED_DATA}, which are not there")
    return SHARED_DATA


@pytest.fixture
def local_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalHub]:
    """A Hugging Face hub on loopback that the real client downloads from, into a cache that is empty at first."""
    pytest.importorskip("huggingface_hub", reason="needs huggingface_hub, which encoder plugins bring")
    monkeypatch.syspath_prepend(LOCAL_HUB)
    from local_hub import LocalHub

    hub = LocalHub()
    constants = "huggingface_hub.constants."  # the client reads HF_ENDPOINT and HF_HOME only when it is imported
    monkeypatch.setattr(constants + "ENDPOINT", hub.url)
    monkeypatch.setattr(constants + "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants + "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    yield hub
    hub.stop()


@dataclass
class Done:
    """A finished command."""

    returncode: int
    stdout: str
    stderr: str


class Xtool:
    """Runs the ``xtool`` command with the planted test plugin installed and no other.

    In this process, which spares importing torch each time; :meth:`start` starts a real one, to be killed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, *arguments: str) -> Done:
        from xtool.cli import main
        from xtool.contracts.registry import registry

        registry.cache_clear()
        result = CliRunner().invoke(main, arguments)
        told = result.stderr
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            told += "".join(traceback.format_exception(result.exception))
        return Done(result.exit_code, result.stdout, told)

    def start(self, *arguments: str, pause_at: int) -> subprocess.Popen[str]:
        """The same in a process of its own, which has begun the image of this number, from 1, and waits there."""
        hear, tell = os.pipe()
        chosen = {"PYTHONPATH": str(PLANTED_PLUGIN), "PLANTED_PAUSE_AT": str(pause_at), "PLANTED_TELL": str(tell)}
        process = subprocess.Popen(
            [sys.executable, "-m", "xtool", *arguments],
            cwd=self.folder,
            env={**os.environ, **chosen},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            pass_fds=[tell],
            preexec_fn=_hear_interrupts,
        )
        os.close(tell)
        with open(hear, "rb") as stream:  # noqa: PTH123 - a file descriptor
            if stream.read(6) != b"paused":  # it has ended
                pytest.fail(process.communicate()[1])
        return process


def _hear_interrupts() -> None:
    """Undo what a shell does to a background job: it, and all that it starts, ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def xtool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Xtool]:
    from xtool.contracts.registry import registry

    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(PLANTED_PLUGIN)
    monkeypatch.setenv("XTOOL_DISABLE_PLUGINS", "app,clip,vlscore,cam,photo,tiny,timm,transformers")
    monkeypatch.setenv("COLUMNS", "160")
    registry.cache_clear()
    yield Xtool(tmp_path)
    registry.cache_clear()
