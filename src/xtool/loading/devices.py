"""Device and dtype from the words that the user gives."""

from __future__ import annotations

import torch

from xtool.errors import SetupError, UsageError

DTYPES = {
    # float32 everywhere by default: a saliency map from bfloat16 is visibly rougher, and CPUs gain nothing from it.
    "auto": torch.float32,
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


def resolve_device(name: str) -> torch.device:
    """Turn ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps`` into an available device.

    Args:
        name: ``auto`` takes the best available: CUDA, then MPS (Apple), then the CPU.

    Raises:
        UsageError: another word.
        SetupError: a device that this machine, or this build of PyTorch, does not have.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if _has_mps() else "cpu")
    kind, _, index = name.partition(":")
    if kind not in {"cpu", "cuda", "mps"} or (":" in name and not (kind == "cuda" and index.isdecimal())):
        raise UsageError(f"device {name!r} is not known; use auto, cpu, cuda, cuda:N or mps")
    if kind == "cuda":
        _require_cuda(name, int(index or 0))
    if kind == "mps" and not _has_mps():
        raise SetupError("device 'mps' is not available: it needs an Apple GPU and a PyTorch built for it; use cpu")
    return torch.device(name)


def resolve_dtype(name: str) -> torch.dtype:
    """The precision of forward passes without gradients: ``auto`` (float32), ``float32``, ``bfloat16``, ``float16``.

    Raises :class:`xtool.errors.UsageError` for another word.
    """
    if name not in DTYPES:
        raise UsageError(f"dtype {name!r} is not known; use {', '.join(DTYPES)}")
    return DTYPES[name]


def _require_cuda(name: str, index: int) -> None:
    if not torch.cuda.is_available():
        reason = "this PyTorch is built without CUDA" if torch.version.cuda is None else "PyTorch finds no usable GPU"
        raise SetupError(f"device {name!r} is not available: {reason}; use cpu, or auto for the best available")
    count = torch.cuda.device_count()
    if index >= count:
        raise SetupError(f"device {name!r} is not available: this machine has cuda:0 to cuda:{count - 1}")


def _has_mps() -> bool:
    return torch.backends.mps.is_available()
