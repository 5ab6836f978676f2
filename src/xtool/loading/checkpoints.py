"""Weights files: which one is meant, and what is in it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from xtool.errors import SetupError

SUFFIXES = frozenset({".safetensors", ".pt", ".pth", ".bin", ".ckpt"})
WRAPPERS = ("state_dict", "model", "model_state_dict")
"""Under which training scripts keep the weights, beside epoch and optimiser."""
PREFIX = "module."
"""What ``DataParallel`` puts before every name."""


def local_checkpoint(pretrained: str, encoder: str) -> Path | None:
    """The file that ``pretrained`` names, or ``None`` where it does not look like a file but like a tag.

    Raises :class:`xtool.errors.SetupError` for what looks like a file and is not there.
    """
    path = Path(pretrained).expanduser()
    if path.is_file():
        return path
    if path.suffix.lower() in SUFFIXES or len(path.parts) > 1:
        raise SetupError(f"weights of {encoder}: there is no file {pretrained}")
    return None


def read_checkpoint(file: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors or torch checkpoint by name, on the CPU, in the dtype that they are stored in.

    What training scripts put around the weights is taken off: ``state_dict``, ``model``, and the ``module.`` before
    each name. Torch files are read with ``weights_only``, so no code in them runs.

    Raises :class:`xtool.errors.SetupError` for a file that is damaged, unsafe, or holds no weights.
    """
    return _state(file, "cpu")


def checkpoint_keys(file: Path) -> frozenset[str]:
    """The names that :func:`read_checkpoint` would give, without reading the tensors. Raises the same."""
    if file.suffix.lower() != ".safetensors":
        return frozenset(_state(file, "meta"))
    safetensors = _safetensors()
    try:
        with safetensors.safe_open(file, framework="pt") as tensors:
            return frozenset(_bare(key) for key in tensors.keys())  # noqa: SIM118 (it is no mapping)
    except Exception as error:  # safetensors and OS errors alike
        raise _unreadable(file, error) from error


def sha256(file: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _state(file: Path, device: str) -> dict[str, Tensor]:
    try:
        if file.suffix.lower() == ".safetensors":
            _safetensors()
            from safetensors.torch import load_file

            content: Any = load_file(file, device=device)
        else:
            content = torch.load(file, map_location=device, weights_only=True)
            if isinstance(content, torch.jit.ScriptModule):  # what older torch makes of such a file
                raise RuntimeError("a TorchScript archive")
    except SetupError:
        raise
    except Exception as error:  # zip, pickle, safetensors and OS errors alike
        raise _unreadable(file, error) from error
    for wrapper in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
            break
    if not isinstance(content, Mapping) or not any(isinstance(value, Tensor) for value in content.values()):
        raise SetupError(f"cannot read weights {file}: it holds no tensors by name")
    return {_bare(str(key)): value for key, value in content.items() if isinstance(value, Tensor)}


def _bare(key: str) -> str:
    return key.removeprefix(PREFIX)


def _safetensors() -> Any:
    try:
        import safetensors
    except ImportError as error:
        raise SetupError("reading .safetensors files needs a package: pip install safetensors") from error
    return safetensors


def _unreadable(file: Path, error: Exception) -> SetupError:
    if "TorchScript" in str(error):
        return SetupError(_torchscript(file))
    reason = " ".join(str(error).split())[:300] or type(error).__name__
    return SetupError(f"cannot read weights {file}: {reason}{_fetch_again(file)}")


def _fetch_again(file: Path) -> str:
    """What to do about a damaged download, which the hub's client would take from its cache for ever."""
    if "snapshots" not in file.parts or not file.is_file():
        return ""
    stored = file.resolve()  # snapshots link to blobs, which are called by their SHA-256
    if len(stored.name) == 64 and stored.name == sha256(stored):
        return "\nThe download is complete; the file itself contains no weights."
    return f"\nThe download is damaged. Delete it, and the same command fetches it again:\n  {stored}"


def _torchscript(file: Path) -> str:
    return (
        f"weights {file} are a TorchScript program, which is not loaded because it is code. If you trust it, keep "
        f"only its weights:\n  python -c \"import torch; m = torch.jit.load('{file}', map_location='cpu'); "
        f"torch.save(m.state_dict(), '{file.with_name(file.stem + '-weights.pth')}')\""
    )
