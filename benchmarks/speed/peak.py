"""Peak memory of a piece of work, above what was held before it."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sys
from collections.abc import Callable
from pathlib import Path

import torch

MIB = 2**20
STATUS = Path("/proc/self/status")


def peak_above(work: Callable[[], object], device: str) -> float | None:
    """MiB at the peak of ``work`` above the start; on a CPU ``None`` where the system cannot tell (it is not Linux).

    On a CPU it is the resident set. What a process has once taken it may keep, so that only a young one gives the
    whole need: measure before anything else that is large.
    """
    gc.collect()
    if device != "cpu":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        work()
        torch.cuda.synchronize()
        return (torch.cuda.max_memory_allocated() - before) / MIB
    if not _forget_peak():
        work()
        return None
    before = _status("VmRSS")
    work()
    return (_status("VmHWM") - before) / MIB


def _forget_peak() -> bool:
    """Give freed memory back, and let the kernel count the peak anew from here."""
    if sys.platform != "linux":
        return False
    with contextlib.suppress(AttributeError, OSError):  # another C library, which keeps less
        ctypes.CDLL(None).malloc_trim(0)
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _status(field: str) -> int:
    lines = STATUS.read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) * 1024
