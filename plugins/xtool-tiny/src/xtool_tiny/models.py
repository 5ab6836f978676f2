"""The bundled models: plain open_clip models from their config, tokenizer and weights files."""

from __future__ import annotations

import json
from importlib.resources import as_file, files
from pathlib import Path

import open_clip
from open_clip.tokenizer import SimpleTokenizer
from safetensors.torch import load_file

__all__ = ["build", "config", "load", "tokenizer", "weights_path"]

_DATA = files("xtool_tiny").joinpath("data")


def config(name: str) -> dict[str, object]:
    """The open_clip config of ``tiny-rn`` or ``tiny-vit``: keyword arguments of ``open_clip.CLIP``."""
    parsed: dict[str, object] = json.loads(_DATA.joinpath(f"{name}.json").read_text(encoding="utf-8"))
    return parsed


def build(name: str) -> open_clip.CLIP:
    """An untrained model, in float32 on the CPU."""
    return open_clip.CLIP(**config(name))


def weights_path(name: str) -> Path:
    """The bundled weights file of a model."""
    with as_file(_DATA.joinpath(f"{name}.safetensors")) as path:
        return path


def load(name: str) -> open_clip.CLIP:
    """A trained model in eval mode, float32, on the CPU. ``name`` may be a weights file, named after its model."""
    path = Path(name) if name.endswith(".safetensors") else weights_path(name)
    model = build(path.stem)
    weights = {key: value.float() if value.is_floating_point() else value for key, value in load_file(path).items()}
    # The bias belongs to the training loss alone.
    weights.pop("logit_bias", None)
    model.load_state_dict(weights, strict=True)
    return model.eval()


def tokenizer() -> SimpleTokenizer:
    """Free text → token ids [T, 16]."""
    with as_file(_DATA.joinpath("merges.txt.gz")) as path:
        return SimpleTokenizer(bpe_path=str(path), context_length=16)
