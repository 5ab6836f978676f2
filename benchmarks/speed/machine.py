"""Which machine and which versions made the numbers."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shlex
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

DISTRIBUTIONS = {
    "torch": "torch",
    "open_clip": "open_clip_torch",
    "grad-cam": "grad-cam",
    "torchcam": "torchcam",
    "xtool": "xtool-saliency",
}


def describe() -> Iterator[str]:
    """Lines of Markdown that head the tables."""
    import torch

    yield f"- **Command**: `python -m benchmarks.speed {shlex.join(sys.argv[1:])}`".replace(" `", " `", 1).rstrip()
    yield f"- **CPU**: {cpu_name()}, {os.cpu_count()} cores, torch uses {torch.get_num_threads()} threads"
    yield f"- **GPU**: {gpu_name()}"
    versions = [f"python {platform.python_version()}", *(f"{name} {version(name)}" for name in DISTRIBUTIONS)]
    yield f"- **Versions**: {', '.join(versions)}"
    yield f"- **Started**: {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, load average {load()}"


def cpu_name() -> str:
    """As the system calls it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def gpu_name() -> str:
    """Name and memory, or ``none``."""
    import torch

    if not torch.cuda.is_available():
        return "none"
    properties = torch.cuda.get_device_properties(0)
    return f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB, CUDA {torch.version.cuda}"


def version(name: str) -> str:
    """Of an installed distribution, by the name that people use for it."""
    try:
        return importlib.metadata.version(DISTRIBUTIONS[name])
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def load() -> str:
    """How busy the machine was before: a number far above 0 says that the times are upper bounds."""
    return f"{os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else "unknown"
