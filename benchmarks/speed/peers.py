"""Peers: other tools and a plain loop, on the same model, image and text, in one process

Random weights; everybody scores the same feature maps of the last layer, in batches of 32 where a tool has a choice;
Grad-CAM always takes all of them.
Before anything is timed the float32 results are **checked to agree** on a few maps, and once more on the timed ones:
xtool's `scorecam` with pytorch-grad-cam's, `gradcam` with both libraries', `vlscore:preset=paper` with the plain loop.
torchcam's Score-CAM makes its masks in another way (scaled before they are upsampled, between cell centres), which the
option-free `scorecam` does not copy; xtool's engine given such masks is checked to agree with it. *Agreement* is the
correlation with the first line of the group. *Faster* is the seconds of a peer divided by those of the line.
The compile time is that of a first time, with nothing cached, and is in no other number.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from statistics import median

from torch import Tensor

from benchmarks.speed import models, rivals
from benchmarks.speed.peak import peak_above
from benchmarks.speed.plan import Dtype, Plan
from benchmarks.speed.rivals import LOGIT_SCALE, Explain, Question
from benchmarks.speed.tables import Table, count, say
from benchmarks.speed.timing import once

FEW = 24
"""Maps on which agreement is checked first."""
DIFFERENCE = 1e-3

Check = Callable[[Tensor, Tensor], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the table."""

    tool: str
    explain: Explain
    compiled: bool = False
    agrees_with: str | None = None
    """The tool of an earlier line whose result it must match."""
    is_peer: bool = False


def run(plan: Plan) -> None:
    for device in plan.devices:
        encoder = models.encoder(plan.encoder, device=device)
        question = Question(encoder, models.photograph(plan, encoder), encoder.encode_text([models.TEXT]))
        whole = models.feature_maps(encoder, question.pixels).shape[1]
        maps = min(plan.limit(whole, device) or whole, whole)
        say(f"\n{plan.encoder} on {device}, {count(maps, whole)} maps")
        row = Table("method", "tool", "s", "faster than", "peak MiB", "agreement", "compile, s")
        for name, check, lines in groups(plan, question, device):
            _check(lines, check, min(FEW, maps))
            _measure(row, plan, name, check, lines, maps, device)


def groups(plan: Plan, question: Question, device: str) -> list[tuple[str, Check, list[Line]]]:
    """Lines that compute the same, by the method's name, and how two of their results are compared."""
    library, torchcam = "pytorch-grad-cam", "torchcam"
    with_torchcam = _has_torchcam()

    def own(label: str, reference: str) -> list[Line]:
        variants: list[tuple[str, Dtype, bool]] = [("float32", "float32", False), ("bfloat16", "bfloat16", False)]
        if plan.compile:
            variants.append(("bfloat16, compiled", "bfloat16", True))
        return [
            Line(
                tool=f"**xtool**, {told}",
                explain=_lazy(plan, question, label, device, dtype, compiled),
                compiled=compiled,
                agrees_with=reference if told == "float32" else None,
            )
            for told, dtype, compiled in variants
        ]

    score = [Line(tool=library, explain=rivals.grad_cam_library(question, "ScoreCAM"), is_peer=True)]
    gradient = [Line(tool=library, explain=rivals.grad_cam_library(question, "GradCAM"), is_peer=True)]
    if with_torchcam:
        theirs = rivals.torchcam_library(question, "ScoreCAM")
        engine = rivals.own_engine_as_torchcam(question)
        score.append(Line(tool=torchcam, explain=theirs, is_peer=True))
        score.append(Line(tool="**xtool**, float32, torchcam's masks", explain=engine, agrees_with=torchcam))
        theirs = rivals.torchcam_library(question, "GradCAM")
        gradient.append(Line(tool=torchcam, explain=theirs, is_peer=True, agrees_with=library))
    loop = Line(tool="plain loop", explain=rivals.plain_loop(question), is_peer=True)
    return [
        ("Score-CAM", _correlate, [*score, *own(f"scorecam:temperature={1 / LOGIT_SCALE}", library)]),
        ("VL-Score, `preset=paper`", _compare, [loop, *own("vlscore:preset=paper", "plain loop")]),
        ("Grad-CAM", _correlate, [*gradient, own("gradcam", library)[0]]),
    ]


def _lazy(plan: Plan, question: Question, label: str, device: str, dtype: Dtype, compiled: bool) -> Explain:
    """Loads the encoder only when it is needed, so that a compiler that fails costs no other line."""

    def explain(maps: int) -> Tensor:
        encoder = models.encoder(plan.encoder, device=device, dtype=dtype, compiled=compiled)
        return rivals.own_method(question, encoder, label)(maps)

    return explain


def _check(lines: list[Line], check: Check, maps: int) -> None:
    found = {line.tool: line.explain(maps) for line in lines}  # also the warming up
    for line in lines:
        if line.agrees_with is not None:
            check(found[line.tool], found[line.agrees_with])


def _measure(row: Table, plan: Plan, name: str, check: Check, lines: list[Line], maps: int, device: str) -> None:
    found: dict[str, Tensor] = {}
    taken: dict[str, float] = {}
    for line in lines:
        times: list[float] = []

        def work(line: Line = line, times: list[float] = times) -> None:
            def explain() -> None:
                found[line.tool] = line.explain(maps)

            times.append(once(explain))

        peak = peak_above(work, device)
        while len(times) < plan.rounds and sum(times) < 10.0:
            work()
        if line.agrees_with is not None:
            check(found[line.tool], found[line.agrees_with])
        taken[line.tool] = median(times)
        peers = [other for other in lines if other.is_peer and not line.is_peer]
        faster = ", ".join(f"{other.tool} {taken[other.tool] / taken[line.tool]:.2f}×" for other in peers)
        agreement = rivals.correlation(found[line.tool], found[lines[0].tool])
        compiling = compile_seconds(plan.encoder, device) if line.compiled else None
        row(name, line.tool, taken[line.tool], faster or None, peak, f"{agreement:.5f}", compiling)


def _correlate(one: Tensor, other: Tensor) -> None:
    found = rivals.correlation(one, other)
    if not found > rivals.ALIKE:
        raise AssertionError(f"the maps of two tools that compute the same have a correlation of only {found:.5f}")


def _compare(one: Tensor, other: Tensor) -> None:
    found = float((rivals.comparable(one) - rivals.comparable(other)).abs().max())
    if not found < DIFFERENCE:
        raise AssertionError(f"the maps of two tools that compute the same differ by {found:.5f}")


@cache
def compile_seconds(encoder: str, device: str, dtype: Dtype = "bfloat16") -> float:
    """Seconds that ``compile=True`` adds to loading, in a fresh process whose compiler has nothing cached."""
    with tempfile.TemporaryDirectory(prefix="xtool-compile-") as folder:
        done = subprocess.run(
            [sys.executable, "-c", COMPILING, encoder, models.weights_of(encoder), device, dtype],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "TORCHINDUCTOR_CACHE_DIR": folder},
        )
    return float(done.stdout.split()[-1])


COMPILING = """
import sys, time
from xtool.engine.encoders import load_encoder
name, weights, device, dtype = sys.argv[1:]
taken = []
for compiled in (False, False, True):  # the first has the imports to pay
    start = time.perf_counter()
    load_encoder(name, pretrained=weights, device=device, dtype=dtype, compile=compiled)
    taken.append(time.perf_counter() - start)
print(taken[2] - taken[1])
"""


def _has_torchcam() -> bool:
    try:
        import torchcam  # noqa: F401
    except ImportError:
        say("\ntorchcam is not installed (`uv run --group bench …`); its lines are left out.")
        return False
    return True
