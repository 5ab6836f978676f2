"""Weights files: which one is meant, and what is in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xtool.errors import SetupError, regular
from xtool.loading.digests import intact, stored_as

SUFFIXES = frozenset({".safetensors", ".pt", ".pth", ".bin", ".ckpt"})
WRAPPERS = ("state_dict", "model", "model_state_dict")
"""Under which training scripts keep the weights, beside epoch and optimiser."""
WRAPPED_DEEP = 8
"""Wrappers in wrappers that are taken off; a pickle may also hold itself."""
PREFIXES = ("module.", "_orig_mod.")
"""What ``DataParallel`` and ``torch.compile`` put before every name, in any order."""


def local_checkpoint(pretrained: str, encoder: str) -> Path | None:
    """The file that ``pretrained`` names, or ``None`` where it does not look like a file but like a tag.

    Raises :class:`xtool.errors.SetupError` for what looks like a file and is not there.
    """
    path = Path(pretrained).expanduser()
    if path.is_file():
        return path
    if path.suffix.lower() in SUFFIXES or len(path.parts) > 1:
        told = f"{pretrained} is a folder; name the file in it" if path.is_dir() else f"there is no file {pretrained}"
        raise SetupError(f"weights of {encoder}: {told}")
    return None


def read_checkpoint(file: Path, expected: Collection[str] = ()) -> dict[str, Tensor]:
    """The tensors of a safetensors or torch checkpoint by name, on the CPU, in the dtype that they are stored in.

    What training scripts put around the weights is taken off: ``state_dict``, ``model``, and before each name the
    ``module.`` of ``DataParallel`` and the ``_orig_mod.`` of ``torch.compile``. Torch files are read with
    ``weights_only``, so no code in them runs.

    Args:
        file: the checkpoint.
        expected: names that the model has. Where more of them are found that way, a part of a larger model is taken:
            the tensors whose names begin with ``model.``, ``clip.`` or whatever it was called there.

    Raises :class:`xtool.errors.SetupError` for a file that is damaged, unsafe, or holds no weights.
    """
    return _part_of(_state(file, "cpu"), expected)


def misfit(found: Iterable[str], expected: Iterable[str]) -> str:
    """What of the ``expected`` names is missing, with the first of them and what is there instead; empty if nothing is.

    Args:
        found: names of tensors in a file.
        expected: names that the model has.
    """
    there, wanted = list(found), list(expected)
    missing = [name for name in wanted if name not in set(there)]
    strange = [name for name in there if name not in set(wanted)]
    if not missing and not strange:
        return ""
    told = f"{len(missing)} of its {len(wanted)} tensors are missing and {len(strange)} are too many"
    if not missing:
        return f"{told}, first {strange[0]}"
    first = missing[0]
    ending = first.rpartition(".")[2]
    instead = next((name for name in strange if name.rpartition(".")[2] == ending), strange[0] if strange else "")
    return f"{told}; the first that is missing is {first}" + (f", where the file has {instead}" if instead else "")


def checkpoint_keys(file: Path) -> frozenset[str]:
    """The names that :func:`read_checkpoint` would give, without reading the tensors. Raises the same."""
    if file.suffix.lower() != ".safetensors":
        return frozenset(_state(file, "meta"))
    safetensors = _safetensors()
    try:
        with safetensors.safe_open(regular(file), framework="pt") as tensors:
            return frozenset(_bare(key) for key in tensors.keys())  # noqa: SIM118 (it is no mapping)
    except Exception as error:  # safetensors and OS errors alike
        raise _unreadable(file, error) from error


def _state(file: Path, device: str) -> dict[str, Tensor]:
    try:
        if file.suffix.lower() == ".safetensors":
            _safetensors()
            from safetensors.torch import load_file

            content: Any = load_file(regular(file), device=device)
        else:
            with _numbers_allowed():
                content = torch.load(regular(file), map_location=device, weights_only=True)
            if isinstance(content, torch.jit.ScriptModule):  # what older torch makes of such a file
                raise RuntimeError("a TorchScript archive")
    except SetupError:
        raise
    except Exception as error:  # zip, pickle, safetensors and OS errors alike
        raise _unreadable(file, error) from error
    for _ in range(WRAPPED_DEEP):
        content = _wrapped(content) or content
    if not isinstance(content, Mapping) or not any(isinstance(value, Tensor) for value in content.values()):
        raise SetupError(f"cannot read weights {file}: it holds no tensors by name")
    return {_bare(str(key)): value for key, value in content.items() if isinstance(value, Tensor)}


def _wrapped(content: Any) -> Mapping[Any, Any] | None:
    if not isinstance(content, Mapping):
        return None
    return next((content[name] for name in WRAPPERS if isinstance(content.get(name), Mapping)), None)


def _bare(key: str) -> str:
    while key.startswith(PREFIXES):
        key = key.partition(".")[2]
    return key


def _part_of(state: dict[str, Tensor], expected: Collection[str]) -> dict[str, Tensor]:
    """The tensors under the prefix that most of the ``expected`` names are found under; all of them if that is none."""
    wanted = set(expected)
    found: Counter[str] = Counter({"": 0})
    for key in state:
        parts = key.split(".")
        for depth in range(len(parts)):
            if ".".join(parts[depth:]) in wanted:
                found[".".join([*parts[:depth], ""]) if depth else ""] += 1
    prefix = max(found, key=lambda each: (found[each], -len(each)))
    return {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}


def _numbers_allowed() -> AbstractContextManager[Any]:
    """Lets NumPy numbers through, which training scripts keep beside the weights (a loss, a learning rate)."""
    allow = getattr(torch.serialization, "safe_globals", None)  # older torch allows none
    if allow is None:
        return nullcontext()
    build = np.float64(0).__reduce__()[0]  # the function has moved between NumPy's modules
    kinds = [type(np.dtype(code)) for code in np.typecodes["AllInteger"] + np.typecodes["AllFloat"] + "?"]
    allowed: AbstractContextManager[Any] = allow([build, np.dtype, *kinds])
    return allowed


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
    return SetupError(f"cannot read weights {file}: {reason}{_not_damaged(file)}")


def _not_damaged(file: Path) -> str:
    """That fetching it again would not help; empty where that is not known."""
    known = file.is_file() and stored_as(file) and intact(file)
    return "\nThe download is complete; the file itself contains no weights." if known else ""


def _torchscript(file: Path) -> str:
    return (
        f"weights {file} are a TorchScript program, which is not loaded because it is code. If you trust it, keep "
        f"only its weights:\n  python -c \"import torch; m = torch.jit.load('{file}', map_location='cpu'); "
        f"torch.save(m.state_dict(), '{file.with_name(file.stem + '-weights.pth')}')\""
    )
