"""Several processes behind one run: nothing is lost, doubled or out of order, whoever dies."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from xtool.errors import RunError, SetupError, UsageError
from xtool.evaluator import workers
from xtool.evaluator.slices import Slice
from xtool.evaluator.workers import RayEngine
from xtool.store.records import Failure

TODO = [Slice(indices=(index,), missing=(("one",),)) for index in range(10)]


class RayError(Exception):
    """Of a worker that died."""


class RayTaskError(RayError):
    """Of a task that raised."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


class FakeRay:
    """As much of Ray as is used, in this process; ``outcome(attempt, todo)`` is what a worker makes of a task."""

    exceptions = SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError)

    def __init__(self, outcome: Callable[[int, list[Any]], Any], gpus: int = 0, stillborn: int = 0) -> None:
        self.outcome = outcome
        self.stillborn = stillborn
        self.gpus = gpus
        self.attempts: dict[int, int] = {}
        self.workers = 0
        self.killed = 0
        self.asked: dict[str, float] = {}

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 8.0, "GPU": float(self.gpus)}

    def put(self, thing: object) -> object:
        return thing

    def remote(self, **asked: float) -> Callable[[type], Any]:
        self.asked = asked

        def start(*_: object) -> Any:
            self.workers += 1
            begun = f"worker {self.workers} begins"
            return SimpleNamespace(
                explain=SimpleNamespace(remote=lambda todo: todo[0].indices[0]),
                process=SimpleNamespace(remote=lambda: begun),
            )

        return lambda _: SimpleNamespace(remote=start)

    def wait(self, references: list[Any]) -> tuple[list[Any], list[Any]]:
        return [references[-1]], references[:-1]  # the last that was started is the first to be done

    def get(self, first: int | str) -> Any:
        if isinstance(first, str):
            if self.stillborn:
                self.stillborn -= 1
                raise RayError("killed while it was loading")
            return 1
        self.attempts[first] = self.attempts.get(first, 0) + 1
        found = self.outcome(self.attempts[first], [index for index in range(len(TODO)) if index // 2 == first // 2])
        if isinstance(found, Exception):
            raise found
        return found

    def kill(self, _: object) -> None:
        self.killed += 1


@pytest.fixture(autouse=True)
def _tasks_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "IMAGES", 2)


def records(indices: list[int]) -> list[Failure]:
    return [Failure(index=index, image=f"{index}.png", error="none") for index in indices]


def explained(ray: FakeRay, device: str = "cpu", count: int | None = 3) -> list[int]:
    evaluation: Any = SimpleNamespace(encoder=SimpleNamespace(device=SimpleNamespace(type=device)))
    return [record.index for record in workers._Pool(ray, evaluation, count).explained(TODO)]  # type: ignore[arg-type]


def test_records_come_in_the_order_of_the_data_set_whichever_worker_is_done_first() -> None:
    assert explained(FakeRay(lambda _, indices: records(indices))) == list(range(10))


def test_what_a_killed_worker_had_is_explained_by_another() -> None:
    ray = FakeRay(lambda attempt, indices: RayError("died") if attempt == 1 else records(indices))
    assert explained(ray) == list(range(10))
    assert ray.workers == 3 + 5  # each of the five tasks cost a worker


def test_images_that_kill_every_worker_stop_the_run_with_their_numbers() -> None:
    ray = FakeRay(lambda _, indices: RayError("out of memory") if 4 in indices else records(indices))
    with pytest.raises(RunError, match=r"5 workers died of samples 4 to 5, the last with: out of memory"):
        explained(ray)


def test_a_worker_that_dies_before_it_has_begun_is_no_images_fault() -> None:
    ray = FakeRay(lambda _, indices: records(indices), stillborn=9)
    assert explained(ray) == list(range(10))
    assert ray.workers == 3 + 9


def test_workers_that_never_begin_stop_the_run() -> None:
    with pytest.raises(RunError, match="10 workers died before they had begun, the last with: killed while"):
        explained(FakeRay(lambda _, indices: records(indices), stillborn=100))


def test_what_a_worker_raises_is_raised_here() -> None:
    with pytest.raises(UsageError, match="no such layer"):
        explained(FakeRay(lambda *_: RayTaskError(UsageError("no such layer"))))


def test_a_finished_run_starts_no_workers(xtool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run = ("compare", "--encoder", "planted-cnn", "--dataset", "patches", "--methods", "everywhere", "--out", "run")
    assert xtool(*run).returncode == 0

    def started(_: object) -> None:
        raise AssertionError("Ray was started")

    monkeypatch.setattr(workers, "_cluster", started)
    again = xtool(*run, "--resume", "--workers", "2")
    assert again.returncode == 0, again.stderr
    assert "everywhere" in again.stdout


def test_all_workers_end_with_the_run() -> None:
    ray = FakeRay(lambda _, indices: records(indices))
    explained(ray)
    assert ray.killed == ray.workers == 3


def test_all_workers_end_where_the_run_is_stopped_in_the_middle() -> None:
    ray = FakeRay(lambda _, indices: records(indices))
    evaluation: Any = SimpleNamespace(encoder=SimpleNamespace(device=SimpleNamespace(type="cpu")))
    running = workers._Pool(ray, evaluation, 3).explained(TODO)  # type: ignore[arg-type]
    next(running)
    running.close()  # type: ignore[attr-defined]
    assert ray.killed == ray.workers == 3


@pytest.mark.parametrize(
    ("count", "asked"), [(2, {"num_cpus": 4, "num_gpus": 0}), (16, {"num_cpus": 0.5, "num_gpus": 0})]
)
def test_workers_divide_the_processor_cores(count: int, asked: dict[str, float]) -> None:
    ray = FakeRay(lambda _, indices: records(indices))
    explained(ray, count=count)
    assert ray.asked == asked


def test_a_worker_for_each_gpu() -> None:
    ray = FakeRay(lambda _, indices: records(indices), gpus=2)
    explained(ray, device="cuda", count=None)
    assert ray.workers == 2
    assert ray.asked == {"num_cpus": 4, "num_gpus": 1}


def test_a_worker_takes_one_gpu_even_where_there_are_more() -> None:
    ray = FakeRay(lambda _, indices: records(indices), gpus=8)
    explained(ray, device="cuda", count=2)
    assert ray.asked == {"num_cpus": 4, "num_gpus": 1}


def test_three_workers_on_two_gpus_ask_for_halves_as_none_can_have_parts_of_both() -> None:
    ray = FakeRay(lambda _, indices: records(indices), gpus=2)
    explained(ray, device="cuda")
    assert ray.workers == 3
    assert ray.asked == {"num_cpus": 2, "num_gpus": 0.5}


def test_an_encoder_on_a_gpu_is_refused_where_ray_has_none() -> None:
    with pytest.raises(UsageError, match="on a GPU, and Ray has none"):
        explained(FakeRay(lambda *_: []), device="cuda")


def test_other_versions_on_a_machine_are_refused_by_name() -> None:
    with pytest.raises(SetupError, match=r"would compute with other versions: torch 2\.\S+, not 1\.0"):
        workers._Worker(None, 1, {**workers._versions(), "torch": "1.0"})  # type: ignore[arg-type]


def test_ray_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SetupError, match=r'pip install "xtool-saliency\[ray\]"'):
        list(RayEngine(workers=2)(None, []))  # type: ignore[arg-type]


def test_options_of_ray_without_it_are_refused(xtool: Any) -> None:
    done = xtool("compare", "--engine", "local", "--workers", "2")
    assert done.returncode == 2
    assert "--workers and --address are for --engine ray" in done.stderr


@pytest.mark.slow
def test_two_workers_write_the_records_of_one_process(xtool: Any) -> None:
    pytest.importorskip("ray")
    asked = ["compare", "--dataset", "patches:broken", "--encoder", "planted-cnn", "--methods", "colourcam,everywhere"]
    asked += ["--on-error", "skip", "--json"]
    alone, together = (
        subprocess.run(
            [sys.executable, "-m", "xtool", *asked, *more],
            capture_output=True,
            text=True,
            cwd=xtool.folder,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parent / "planted_plugin")},
        )
        for more in (["--out", "alone"], ["--out", "together", "--engine", "ray", "--workers", "2"])
    )
    assert alone.returncode == together.returncode == 0, alone.stderr + together.stderr
    assert together.stderr == alone.stderr  # Ray adds nothing of its own
    read = [
        [json.loads(line) for line in (xtool.folder / name / "records.jsonl").read_text().splitlines()]
        for name in ("alone", "together")
    ]
    for record in (*read[0], *read[1]):
        for name in [name for name in record if "seconds" in name]:
            del record[name]
    assert read[0] == read[1]
    assert len(read[0]) == 2 + 2 * 10


@pytest.mark.slow
def test_a_killed_worker_changes_nothing() -> None:
    pytest.importorskip("ray")
    done = subprocess.run(
        [sys.executable, "-m", "tests.campaign", "workers=1", "--seed", "7"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
    )
    assert done.returncode == 0, done.stdout + done.stderr
