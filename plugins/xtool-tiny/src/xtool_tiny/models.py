"""The bundled models: plain open_clip models from their config, tokenizer and weights files."""

from __future__ import annotations

import json
from importlib.resources import as_file, files
from pathlib import Path

import open_clip
from open_clip.tokenizer import SimpleTokenizer
from safetensors.torch import load_file

__all__ = ["build", "config", "config_path", "load", "tokenizer", "weights_path"]


def config(name: str) -> dict[str, object]:
    """The open_clip config of ``tiny-rn`` or ``tiny-vit``: keyword arguments of ``open_clip.CLIP``."""
    parsed: dict[str, object] = json.loads(config_path(name).read_text(encoding="utf-8"))
    return parsed


def build(name: str) -> open_clip.CLIP:
    """An untrained model, in float32 on the CPU."""
    return open_clip.CLIP(**config(name))


def config_path(name: str) -> Path:
    """The bundled config file of a model."""
    return _path(f"{name}.json")


def weights_path(name: str) -> Path:
    """The bundled weights file of a model."""
    return _path(f"{name}.safetensors")


def load(name: str) -> open_clip.CLIP:
    """A trained model in eval mode, float32, on the CPU. ``name`` may be a weights file, named after its model."""
    path = Path(name) if name.endswith(".safetensors") else weights_path(name)
    model = build(path.stem)
    model.load_state_dict({key: value.float() for key, value in load_file(path).items()}, strict=False)
    return model.eval()


def tokenizer() -> SimpleTokenizer:
    """Free text → token ids [T, 16]."""
    return SimpleTokenizer(bpe_path=str(_path("merges.txt.gz")), context_length=16)


def _path(name: str) -> Path:
    with as_file(files("xtool_tiny").joinpath("data", name)) as path:
        return path
