"""Which folders and repositories hold a model that can be read, and fetching one.

Imports neither torch nor transformers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xtool.loading import DownloadError, ModelFiles
from xtool.plugin import SetupError, UsageError

__all__ = ["CONFIG", "KINDS", "OWN", "PREFIX", "WEIGHTS", "claims", "gather", "kind_of"]

PREFIX = "hf:"

OWN = "own"
"""The tag of the weights that lie beside the configuration."""

KINDS = ("clip", "siglip", "align", "blip", "groupvit")
"""What ``model_type`` may be; SigLIP 2 with a fixed grid is of the type ``siglip``."""

_HINTS = {
    "siglip2": "; of SigLIP 2 the models with a fixed grid, which are of the type siglip",
    "clip_vision_model": "; this is the image half of a CLIP, without its texts",
    "siglip_vision_model": "; this is the image half of a SigLIP, without its texts",
}

CONFIG = "config.json"
OPEN_CLIP = "open_clip_config.json"
"""What has this, too, is xtool-clip's to load."""

WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
"""In the order in which transformers looks for them; an index lists the parts of large models."""

BESIDE = (
    "processor_config.json",
    "preprocessor_config.json",
    "tokenizer_config.json",
    "tokenizer.json",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "spiece.model",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
)
"""Of image processors and tokenizers; each model has some of them."""


def claims(files: ModelFiles) -> bool:
    """Whether ``hf:`` loads what a folder or repository holds."""
    if files.get(OPEN_CLIP) is not None:
        return False
    config = files.json(CONFIG)
    return config is not None and config.get("model_type") in KINDS


def kind_of(files: ModelFiles, name: str) -> str:
    """What kind of model it is, one of :data:`KINDS`; found out before anything large is downloaded.

    Raises :class:`xtool.plugin.UsageError` for another kind, and :class:`xtool.plugin.SetupError` without a sound
    configuration, or where the hub cannot be asked.
    """
    with _ways_out(name):
        config = files.json(CONFIG)
    if config is None:
        raise SetupError(f"cannot load {name}: {files} has no {CONFIG}, where transformers keeps what a model is")
    kind = config.get("model_type")
    if kind not in KINDS:
        known, hint = ", ".join(KINDS), _HINTS.get(str(kind), "")
        raise UsageError(f"{name} is a model of the type {kind!r}, and xtool-transformers reads {known}{hint}")
    return str(kind)


def gather(files: ModelFiles, name: str, *, weights: bool) -> Path:
    """A folder with all files of a model, downloaded if need be; without weights, if they are not wanted.

    Raises :class:`xtool.plugin.SetupError` where the hub cannot be asked, or there are no weights.
    """
    if files.folder is not None:
        return files.folder
    with _ways_out(name):
        for _ in range(2):  # a repository that changes meanwhile gives files of two revisions, each in its folder
            folders = {file.parent for file in _all(files, name, weights)}
            if len(folders) == 1:
                return folders.pop()
    raise SetupError(f"cannot load {name}: {files} changed during the download; try again")


@contextmanager
def _ways_out(name: str) -> Iterator[None]:
    try:
        yield
    except DownloadError as error:
        raise SetupError(
            f"cannot load {name}: {error}\n"
            "Ways out: --cache-dir DIR (or HF_HOME=DIR) with a Hugging Face cache that contains it, a folder that "
            "save_pretrained wrote, or an encoder that needs no network: `xtool encoders` marks them"
        ) from error


def _all(files: ModelFiles, name: str, weights: bool) -> Iterator[Path]:
    yield from (file for wanted in (CONFIG, *BESIDE) if (file := files.get(wanted)) is not None)
    if not weights:
        return
    file = files.get(*WEIGHTS)
    if file is None:
        raise SetupError(f"cannot load {name}: {files} has none of {', '.join(WEIGHTS)}")
    yield file
    index = files.json(file.name) if file.suffix == ".json" else None
    for part in sorted(set((index or {}).get("weight_map", {}).values())):
        found = files.get(part)
        if found is None:
            raise SetupError(f"cannot load {name}: {files} has no {part}, a part of its weights")
        yield found
