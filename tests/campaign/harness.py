"""One attempt: a command in a process of its own, and what became of it."""

from __future__ import annotations

import gc
import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]
PLUGINS = (TESTS / "planted_plugin", TESTS / "unruly_plugin")
LEFT_OUT = ("app", "clip", "vlscore", "cam", "photo", "tiny", "timm", "vit", "transformers")
"""Plugins that attempts do without, unless they ask for them."""
LONGEST = 20
"""Seconds of a processor after which a command hangs."""
PATIENCE = 120.0
"""Seconds after which one hangs that waits for something: far more, as other programs may have the processors."""


@dataclass(frozen=True, slots=True)
class Done:
    """A finished command."""

    code: int
    """As a shell sees it; negative for the signal that ended it."""
    stdout: str
    stderr: str
    hung: bool = False


@dataclass(slots=True)
class Tally:
    """Outcomes of one kind of attempts."""

    kind: str
    attempts: int = 0
    fine: int = 0
    """Ended well, with exit code 0."""
    told: int = 0
    """Refused in words."""
    faults: list[str] = field(default_factory=list)

    def judge(self, name: str, done: Done, wrong: str = "") -> None:
        """Count an attempt; ``wrong`` says what is wrong with an answer that was given with exit code 0."""
        self.attempts += 1
        if done.hung:
            self.faults.append(f"hang: {name}")
        elif "Traceback (most recent call last)" in done.stderr or "Exception ignored" in done.stderr:
            self.faults.append(f"traceback: {name}: {done.stderr.strip().splitlines()[-1][:300]}")
        elif done.code not in (0, 1, 2):
            self.faults.append(f"exit code {done.code}: {name}: {done.stderr[-300:]}")
        elif wrong:
            self.faults.append(f"wrong: {name}: {wrong}")
        elif done.code and not done.stderr.strip():
            self.faults.append(f"silent: {name}")
        elif done.code:
            self.told += 1
        else:
            self.fine += 1


@dataclass(frozen=True, slots=True)
class Attack:
    """What every kind of attempts gets: chance, a folder, and how many attempts to make."""

    chance: random.Random
    folder: Path
    count: int


def prepare() -> None:
    """Load what commands need, once, so that each process is a fork and takes milliseconds to start."""
    sys.path[:0] = [str(folder) for folder in PLUGINS]
    os.environ["XTOOL_DISABLE_PLUGINS"] = ",".join(LEFT_OUT)
    os.environ["COLUMNS"] = "160"
    import pyarrow.parquet  # noqa: F401
    import torch

    torch.set_num_threads(1)  # a fork inherits no threads
    import xtool.cli.compare
    import xtool.cli.explain
    import xtool.cli.report
    import xtool.evaluator.comparison
    import xtool.explainer
    import xtool.paint.figure
    import xtool.report.page
    import xtool.runs.calibration
    import xtool.runs.run  # noqa: F401
    from xtool.contracts.registry import registry

    registry()
    gc.freeze()  # or the collector of each fork goes through all this, and so copies its memory


@contextmanager
def with_plugins(*names: str) -> Iterator[None]:
    """Inside, these plugins are there as well."""
    from xtool.contracts.registry import registry

    before = os.environ["XTOOL_DISABLE_PLUGINS"]
    os.environ["XTOOL_DISABLE_PLUGINS"] = ",".join(name for name in LEFT_OUT if name not in names)
    registry.cache_clear()
    registry()
    try:
        yield
    finally:
        os.environ["XTOOL_DISABLE_PLUGINS"] = before
        registry.cache_clear()
        registry()


def start(arguments: Sequence[str], out: Path, before: Callable[[], object] = lambda: None) -> int:
    """Run ``xtool`` with arguments in a fork, its output going to files in ``out``; the process's id."""
    process = os.fork()
    if process:
        return process
    code = 70
    try:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_CPU, (LONGEST, resource.RLIM_INFINITY))
        for number, name in ((1, "stdout"), (2, "stderr")):
            os.dup2(os.open(out / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False, errors="backslashreplace")  # noqa: SIM115
        before()
        from xtool.cli import main

        main(list(arguments), prog_name="xtool")
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError):
                code = 120  # as the interpreter's own end has it
        os._exit(code)


def run(arguments: Sequence[str], before: Callable[[], object] = lambda: None) -> Done:
    """The same, to its end."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        process = start(arguments, out, before)
        code = wait(process, PATIENCE)
        if code is None:
            os.killpg(process, signal.SIGKILL)
            os.waitpid(process, 0)
        texts = [(out / name).read_text("utf-8", "replace") for name in ("stdout", "stderr")]
        hung = code is None or code == -signal.SIGXCPU
        return Done(-1 if code is None else code, *texts, hung=hung)


def wait(process: int, seconds: float) -> int | None:
    """The exit code; ``None`` if it is still running."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    return None


def not_json(text: str) -> str:
    """What is wrong with text that should be one JSON value; empty if nothing is."""

    def refuse(constant: str) -> None:
        raise ValueError(f"holds {constant}")

    try:
        json.loads(text, parse_constant=refuse)
    except ValueError as error:
        return f"not JSON: {error}: {text[:80]!r}"
    return ""


def rows(text: str) -> Any:
    """What a run's JSON says of its methods, without what time and chance change."""
    (found,) = json.loads(text)
    kept = [{k: v for k, v in row.items() if "seconds" not in k and k != "intervals"} for row in found["rows"]]
    return found["images"], kept
