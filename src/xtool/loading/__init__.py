"""What every encoder has to do before it can embed anything, and around it, for authors of encoders.

- :func:`resolve_device`, :func:`resolve_dtype`: from the words of the user to an available device
- :func:`seeded`: random weights that depend on a seed alone and disturb nothing
- :func:`local_checkpoint`: whether ``--pretrained`` names a file
- :func:`cached`, :func:`fetch`: a file of the Hugging Face hub, from the cache, else the network, else the reason
  within seconds, and whole; :class:`ModelFiles`: a folder's or a repository's, asked alike
- :func:`read_checkpoint`, :func:`checkpoint_keys`: safetensors or torch, without running code that is in the file;
  :func:`misfit`: what of it does not fit a model
- :func:`sha256`: what results call the weights
- :func:`check_pixels`: whether pixels have the encoder's size; :class:`TextCache`: each text embedded once
- :class:`InferenceTwin` of a tower or its ``Body``, :func:`folded`, :func:`tile_by_tile`, :func:`half_precision`:
  passes that nobody differentiates, faster and in half precision beside a float32 tower

Whatever goes wrong is a :class:`xtool.errors.SetupError` or :class:`xtool.errors.UsageError` whose message says what
to do. Names are imported when they are first used, so that :func:`cached` needs no torch. Covered by
:data:`xtool.plugin.API_VERSION`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xtool.loading.checkpoints import checkpoint_keys, local_checkpoint, misfit, read_checkpoint
    from xtool.loading.devices import resolve_device, resolve_dtype
    from xtool.loading.digests import sha256
    from xtool.loading.hub import DownloadError, cached, fetch
    from xtool.loading.inference import Body, InferenceTwin, folded, half_precision, tile_by_tile
    from xtool.loading.model_files import ModelFiles
    from xtool.loading.pixels import check_pixels
    from xtool.loading.seeding import seeded
    from xtool.loading.texts import TextCache

_HOME = {
    "Body": "inference",
    "DownloadError": "hub",
    "InferenceTwin": "inference",
    "ModelFiles": "model_files",
    "TextCache": "texts",
    "cached": "hub",
    "check_pixels": "pixels",
    "checkpoint_keys": "checkpoints",
    "fetch": "hub",
    "folded": "inference",
    "half_precision": "inference",
    "local_checkpoint": "checkpoints",
    "misfit": "checkpoints",
    "read_checkpoint": "checkpoints",
    "resolve_device": "devices",
    "resolve_dtype": "devices",
    "seeded": "seeding",
    "sha256": "digests",
    "tile_by_tile": "inference",
}

__all__ = [
    "Body",
    "DownloadError",
    "InferenceTwin",
    "ModelFiles",
    "TextCache",
    "cached",
    "check_pixels",
    "checkpoint_keys",
    "fetch",
    "folded",
    "half_precision",
    "local_checkpoint",
    "misfit",
    "read_checkpoint",
    "resolve_device",
    "resolve_dtype",
    "seeded",
    "sha256",
    "tile_by_tile",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
