"""Weights: from a tag or a path to a file, and from a file into a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.constants import HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME
from open_clip.convert import convert_state_dict
from open_clip.model import convert_to_custom_text_state_dict, resize_pos_embed, resize_text_pos_embed
from torch import Tensor, nn

from xtool.loading import checkpoint_keys, fetch, local_checkpoint, misfit, read_checkpoint
from xtool.plugin import SetupError, UsageError

OPENAI_KEYS = frozenset({"input_resolution", "context_length", "vocab_size"})
"""OpenAI's own checkpoints contain these in addition to the weights; no others do."""


@dataclass(frozen=True, slots=True)
class Weights:
    """A weights file and what is known of it."""

    file: Path
    label: str
    """The tag, or the name of the file."""
    quick_gelu: bool
    """Whether it was trained with QuickGELU; with another activation its numbers are silently wrong."""
    preprocess: dict[str, Any]
    """The ``mean`` and ``std`` that it was trained with; empty where unknown."""


def find_weights(name: str, pretrained: str, cache_dir: str | None) -> Weights:
    """Resolve an open_clip tag of model ``name``, in any case, or the path of a local checkpoint.

    Raises :class:`xtool.plugin.UsageError` for an unknown tag, and :class:`xtool.plugin.SetupError` for weights that
    are not available.
    """
    config = open_clip.get_pretrained_cfg(name, pretrained)
    if config:
        tag = pretrained.lower().replace("-", "_")
        file = _download(name, tag, config, cache_dir)
        return Weights(file, tag, bool(config.get("quick_gelu", False)), _normalisation(config))
    local = local_checkpoint(pretrained, name)
    if local is None:
        raise UsageError(_unknown_tag(name, pretrained))
    return Weights(local, local.name, _is_from_openai(local), _usual_normalisation(name))


def load_weights(model: nn.Module, name: str, file: Path) -> None:
    """Load a safetensors or torch checkpoint (``weights_only``) into ``model``, which keeps its dtype.

    Raises :class:`xtool.plugin.SetupError` for a file that is damaged, unsafe, or of another architecture.
    """
    own = model.state_dict()
    try:
        # A model with a text tower of its own keeps under "text." what CLIP's first checkpoints have at the top.
        state = read_checkpoint(file, {*own, *(key.removeprefix("text.") for key in own)})
        state = {key: value for key, value in state.items() if key not in OPENAI_KEYS}
        state = _in_todays_words(model, state)
        told = misfit(state, own)
        if not told:
            model.load_state_dict(state)
    except SetupError:
        raise
    except Exception as error:  # a wrong shape or type shows up as almost any exception
        raise SetupError(f"weights {file} do not fit {name}: {_shorten(str(error))}") from error
    if told:
        raise SetupError(f"weights {file} do not fit {name}: {told}{_made_by(state)}")


def _in_todays_words(model: Any, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A state as the model would write it: what :func:`open_clip.load_checkpoint` does to a file that it has read."""
    state = convert_state_dict(model, state)
    if "positional_embedding" in state and not hasattr(model, "positional_embedding"):
        state = convert_to_custom_text_state_dict(state)
    for name in ("logit_scale", "logit_bias"):  # a number in some files, a list of one in others
        if name in state and getattr(model, name) is not None:
            state[name] = state[name].reshape(getattr(model, name).shape)
    if "logit_bias" not in state and model.logit_bias is not None:
        state["logit_bias"] = torch.zeros_like(state["logit_scale"])
    if "text.transformer.embeddings.position_ids" not in model.state_dict():
        state.pop("text.transformer.embeddings.position_ids", None)
    resize_pos_embed(state, model)
    resize_text_pos_embed(state, model)
    return state


def _made_by(state: Mapping[str, Tensor]) -> str:
    """What to do about a checkpoint in the layout of another library; empty if it is not one."""
    if any(key.startswith(("vision_model.", "text_model.")) for key in state):
        return (
            ". It is a checkpoint of transformers; the folder or repository that it is from can be loaded with "
            "xtool-transformers, or take the model's weights in open_clip's layout"
        )
    return ""


def _is_from_openai(path: Path) -> bool:
    """Whether a local file is OpenAI's, by its keys or by its name: open_clip's copies have lost the keys."""
    named = "openai" in path.name.lower() or any(part.lower().endswith(".openai") for part in path.absolute().parts)
    return named or checkpoint_keys(path) >= OPENAI_KEYS


def _normalisation(config: dict[str, Any]) -> dict[str, Any]:
    return {key: config[key] for key in ("mean", "std") if key in config}


def _usual_normalisation(name: str) -> dict[str, Any]:
    """What all published weights of the model agree on: a SigLIP checkpoint does not say that it wants mean 0.5."""
    tags = open_clip.list_pretrained_tags_by_model(name)
    published = [_normalisation(open_clip.get_pretrained_cfg(name, tag)) for tag in tags]
    return published[0] if published and all(each == published[0] for each in published) else {}


def _download(name: str, tag: str, config: dict[str, Any], cache_dir: str | None) -> Path:
    try:
        if "file" in config:
            return Path(config["file"])
        if not config.get("hf_hub"):
            return Path(open_clip.download_pretrained(config, cache_dir=cache_dir))
        repository, _, filename = config["hf_hub"].rpartition("/")
        filename = filename or HF_WEIGHTS_NAME
        # As open_clip does: safetensors where there are any, under its own default name or beside the pickle.
        safe = HF_SAFE_WEIGHTS_NAME if filename == HF_WEIGHTS_NAME else str(Path(filename).with_suffix(".safetensors"))
        return fetch(repository, list(dict.fromkeys((safe, filename))), cache_dir)
    except (SetupError, OSError, RuntimeError) as error:
        raise SetupError(
            f"cannot get the weights {tag!r} of {name}: {_shorten(str(error))}\n"
            "Ways out:\n"
            "  --pretrained PATH   a checkpoint on this machine (safetensors or torch)\n"
            "  --cache-dir DIR     a Hugging Face cache that contains it, or HF_HOME=DIR\n"
            "  --pretrained none   random weights, to try the program only\n"
            "or an encoder that needs no network: `xtool encoders` marks them"
        ) from error


def _unknown_tag(name: str, tag: str) -> str:
    tags = open_clip.list_pretrained_tags_by_model(name)
    known = f"it has {', '.join(tags)}" if tags else "open_clip has none for it"
    return f"{name} has no pretrained weights {tag!r}; {known}. A path to a checkpoint or 'none' works too."


def _shorten(message: str, limit: int = 300) -> str:
    message = " ".join(message.split())
    return message if len(message) <= limit else f"{message[:limit]}…"
