"""One run by several processes, on this machine or on a cluster, through Ray (https://docs.ray.io).

Each worker has a copy of the encoder and explains a task at a time: a few images with every method. What it finds comes
back whole, in the order of the data set, to the process that writes the run. So records are those of a run by a single
process, and a worker that is killed loses its task, which another does again.
"""

from __future__ import annotations

import math
import os
import platform
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import distributions
from typing import TYPE_CHECKING, Any

from xtool.engine.work import WORKERS, part
from xtool.errors import LONGEST, RunError, SetupError, UsageError, XtoolError
from xtool.evaluator.evaluate import evaluate
from xtool.evaluator.evaluation import Evaluation
from xtool.evaluator.slices import Slice
from xtool.store.records import Failure, Record

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["RayEngine"]

IMAGES = 16
"""In a task, at least, unless a slice has more."""
AHEAD = 4
"""Tasks for each worker that may be finished before one that is not: what is kept in memory."""
ATTEMPTS = 5
"""Workers that may die of the same task before the run stops."""
STARTS = 10
"""Workers that may die one after the other before they have begun, until the run stops."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RayEngine:
    """Evaluates with Ray's workers; takes the place of :func:`xtool.evaluator.evaluate.evaluate` in a comparison."""

    workers: int | None = None
    """Processes; by default one for each GPU if the encoder is on a GPU, else one for each two processor cores."""
    address: str | None = None
    """Of a running cluster, or ``"auto"``; by default Ray is started on this machine, and stopped at the end."""

    def __call__(self, evaluation: Evaluation, todo: Iterable[Slice]) -> Iterator[Record | Failure]:
        """As :func:`xtool.evaluator.evaluate.evaluate`.

        Raises:
            SetupError: Ray is not installed, cannot be reached, or a machine of the cluster has other versions.
            UsageError: fewer than one worker, an encoder on a GPU where Ray has none, or one that cannot be sent.
            RunError: several workers died of the same images.
        """
        if self.workers is not None and self.workers < 1:
            raise UsageError(f"--workers must be at least 1, not {self.workers}")
        with _cluster(self.address) as ray:
            yield from _Pool(ray, evaluation, self.workers).explained(todo)


class _Worker:
    """What runs in each process. Ray makes an actor of it."""

    def __init__(self, evaluation: Evaluation, threads: int, versions: dict[str, str]) -> None:
        import torch

        own = _versions()
        different = [
            f"{name} {own.get(name, 'is missing')}, not {version}"
            for name, version in versions.items()
            if own.get(name) != version
        ]
        if different:
            raise SetupError(f"{platform.node()} would compute with other versions: {'; '.join(different)}")
        torch.set_num_threads(threads)
        self._evaluation = evaluation

    def process(self) -> int:
        return os.getpid()

    def explain(self, todo: Sequence[Slice]) -> list[Record | Failure]:
        return list(evaluate(self._evaluation, todo))


@dataclass(slots=True)
class _Task:
    number: int
    todo: list[Slice]
    deaths: int = 0


def share(things: int, workers: int) -> float:
    """How much of some cores or GPUs each worker asks Ray for, which starts no more workers than fit.

    Whole ones while they suffice. Beyond that several workers share one, and each asks for such a part that all of
    them fit, though no worker can have parts of two.
    """
    return things // workers or 1 / math.ceil(workers / things)


class _Pool:
    """Workers that take one task after the other."""

    def __init__(self, ray: ModuleType, evaluation: Evaluation, workers: int | None) -> None:
        self._ray = ray
        resources = ray.cluster_resources()
        on_gpu = evaluation.encoder.device.type == "cuda"
        processors, gpus = max(1, int(resources.get("CPU", 1))), int(resources.get("GPU", 0))
        count = workers or (gpus if on_gpu else max(1, processors // 2))
        if on_gpu and not gpus:
            raise UsageError("the encoder is on a GPU, and Ray has none")
        threads = max(1, processors // count)
        needs = {"num_cpus": share(processors, count), "num_gpus": min(1, share(gpus, count)) if on_gpu else 0}
        try:
            self._given = (ray.put(evaluation), threads, _versions())
        except (TypeError, AttributeError, XtoolError) as error:
            raise UsageError(f"this comparison cannot be sent to other processes: {error}") from error
        self._actor = ray.remote(**needs)(_Worker)
        self._count = count
        self._starting: dict[Any, Any] = {}
        self._failed_starts = 0
        self._idle: deque[Any] = deque()
        self._busy: dict[Any, tuple[_Task, Any]] = {}

    def explained(self, todo: Iterable[Slice]) -> Iterator[Record | Failure]:
        """Records in the order of ``todo``."""
        tasks = _tasks(todo)
        again: deque[_Task] = deque()
        found: dict[int, list[Record | Failure]] = {}
        window = AHEAD * self._count
        number = 0  # of the task whose records come next
        try:
            for _ in range(self._count):
                self._start()
            while True:
                waiting = len(self._busy) + len(found)
                while self._idle and (again or waiting < window):
                    task = again.popleft() if again else next(tasks, None)
                    if task is None:
                        break
                    self._give(task)
                    waiting += 1
                if not self._busy and self._idle:
                    return
                with part(WORKERS):
                    (ready, *_), _ = self._ray.wait([*self._busy, *self._starting])
                if ready in self._starting:
                    self._started(ready)
                    continue
                task, records = self._finished(ready)
                if records is None:
                    again.append(task)
                    continue
                found[task.number] = records
                while number in found:
                    yield from found.pop(number)
                    number += 1
        finally:
            busy = (worker for _, worker in self._busy.values())
            for worker in (*self._idle, *self._starting.values(), *busy):
                self._ray.kill(worker)

    def _start(self) -> None:
        worker = self._actor.remote(*self._given)
        self._starting[worker.process.remote()] = worker

    def _started(self, ready: Any) -> None:
        """A worker that has begun can be given tasks; in the place of one that has died before, another is started."""
        worker = self._starting.pop(ready)
        try:
            self._ray.get(ready)
        except self._ray.exceptions.RayError as error:
            cause = getattr(error, "cause", None)
            if isinstance(cause, XtoolError):
                raise cause from None
            self._failed_starts += 1
            if self._failed_starts == STARTS:
                raise RunError(f"{STARTS} workers died before they had begun, the last with: {_told(error)}") from error
            self._start()
            return
        self._failed_starts = 0
        self._idle.append(worker)

    def _give(self, task: _Task) -> None:
        worker = self._idle.popleft()
        self._busy[worker.explain.remote(task.todo)] = task, worker

    def _finished(self, ready: Any) -> tuple[_Task, list[Record | Failure] | None]:
        """A task and its records; ``None`` where its worker died, and has been replaced."""
        task, worker = self._busy.pop(ready)
        failures = self._ray.exceptions
        try:
            records: list[Record | Failure] = self._ray.get(ready)
        except failures.RayTaskError as error:  # raised there, to be raised here
            raise error.cause from None
        except failures.RayError as error:
            task.deaths += 1
            if task.deaths == ATTEMPTS:
                first, last = task.todo[0].indices[0], task.todo[-1].indices[-1]
                raise RunError(
                    f"{ATTEMPTS} workers died of samples {first} to {last}, the last with: {_told(error)}"
                ) from error
            with suppress(failures.RayError):
                self._ray.kill(worker)
            self._start()
            return task, None
        self._idle.append(worker)
        return task, records


def _told(error: Exception) -> str:
    """The beginning of what Ray says of a death, which is a page of advice."""
    words = " ".join(str(error).split())
    return words if len(words) <= LONGEST else f"{words[:LONGEST]}…"


def _tasks(todo: Iterable[Slice]) -> Iterator[_Task]:
    """Whole slices, as many as make up a task."""
    number, gathered = 0, []
    for one in todo:
        gathered.append(one)
        if sum(len(each.indices) for each in gathered) >= IMAGES:
            yield _Task(number, gathered)
            number, gathered = number + 1, []
    if gathered:
        yield _Task(number, gathered)


@contextmanager
def _cluster(address: str | None) -> Iterator[ModuleType]:
    """Ray, connected to the cluster at an address or started here. One that is connected already is used as it is."""
    # Ray reads these when it is imported. It would otherwise make an environment of uv's anew for each worker of a
    # program that uv started, and report on its use to its makers.
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError as error:
        raise SetupError('workers need Ray, which is not installed: pip install "xtool-saliency[ray]"') from error
    if ray.is_initialized():
        yield ray
        return
    try:
        ray.init(address=address or "local", include_dashboard=None if address else False, logging_level="ERROR",
                 log_to_driver=False)  # fmt: skip
    except (ConnectionError, ValueError, RuntimeError) as error:
        where = f"at {address} " if address else ""
        raise SetupError(f"Ray {where}cannot be used: {' '.join(str(error).split())}") from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _versions() -> dict[str, str]:
    """What must be the same on every machine: Python, xtool with all that builds on it, and torch."""
    found = {"python": platform.python_version()}
    for each in distributions():
        name = re.sub(r"[-_.]+", "-", each.metadata["Name"] or "").lower()
        needs = " ".join(each.requires or ())
        if name in ("torch", "numpy", "xtool-saliency") or "xtool-saliency" in needs:
            found[name] = each.version
    return found
