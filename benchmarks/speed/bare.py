"""The encoder alone, in every form that the engine is measured against."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Literal

import torch
from torch import Tensor

from benchmarks.speed import models
from benchmarks.speed.plan import Dtype, Plan
from benchmarks.speed.timing import seconds

Layout = Literal["contiguous", "channels-last"]

BATCHES = {"cpu": (8, 16, 32, 64), "cuda": (32, 64, 128, 256)}
COMPILED_BATCHES = {"cpu": (8, 16, 32), "cuda": (64, 256)}
"""Fewer, because each is compiled for itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """One way to run an encoder's image tower."""

    encoder: str
    device: str
    dtype: Dtype
    own: bool
    """xtool's ``encode_image``; otherwise open_clip's tower as it is."""
    compiled: bool
    layout: Layout
    batch: int

    def work(self) -> Callable[[], Tensor]:
        """One batch through the tower, made ready."""
        run = _runner(self.encoder, self.device, self.dtype, self.own, self.compiled, self.layout)
        info = models.encoder(self.encoder, device=self.device).info
        pixels = torch.randn(self.batch, 3, *info.input_size, device=self.device)
        if not self.own:
            pixels = pixels.to(getattr(torch, self.dtype), memory_format=_format(self.layout))
        return lambda: run(pixels)

    def rate(self, rounds: int) -> float:
        """Images a second; measured once in the life of the program."""
        return _rate(self, rounds)


def forms(plan: Plan, device: str, dtype: Dtype, *, own: bool, compiled: bool) -> Iterator[Form]:
    """All layouts and batches to try. xtool chooses its layout itself, and a compiler too."""
    layouts: tuple[Layout, ...] = ("channels-last",) if own or compiled else ("contiguous", "channels-last")
    batches = (COMPILED_BATCHES if compiled and not own else BATCHES)[torch.device(device).type]
    for layout in layouts:
        for batch in batches[:1] if plan.quick else batches:
            yield Form(
                encoder=plan.encoder, device=device, dtype=dtype, own=own, compiled=compiled, layout=layout, batch=batch
            )


def best(plan: Plan, device: str, dtype: Dtype, *, own: bool, compiled: bool) -> Form:
    """The fastest of :func:`forms`."""
    return max(forms(plan, device, dtype, own=own, compiled=compiled), key=lambda form: form.rate(plan.rounds))


@cache
def _rate(form: Form, rounds: int) -> float:
    return form.batch / seconds(form.work(), rounds)


@cache
def _runner(
    encoder: str, device: str, dtype: Dtype, own: bool, compiled: bool, layout: Layout
) -> Callable[[Tensor], Tensor]:
    if own:
        run: Callable[[Tensor], Tensor] = models.encoder(
            encoder, device=device, dtype=dtype, compiled=compiled
        ).encode_image
    else:
        run = models.tower(encoder, device=device, dtype=dtype).to(memory_format=_format(layout))
        if compiled:
            run = torch.compile(run, dynamic=False, options={"freezing": True})

    def forward(pixels: Tensor) -> Tensor:
        # Freezing takes weights for constants only where no gradient can be asked for.
        with torch.inference_mode() if own or not compiled else torch.no_grad():
            return run(pixels)

    return forward


def _format(layout: Layout) -> torch.memory_format:
    return torch.channels_last if layout == "channels-last" else torch.contiguous_format
