"""Build encoders: open_clip's models by name, or any model from a configuration and a weights file."""

from __future__ import annotations

import json
from difflib import get_close_matches
from pathlib import Path

import open_clip

from xtool.loading import resolve_device
from xtool.plugin import EncoderOptions, SetupError, UsageError
from xtool_clip import checkpoint
from xtool_clip.build import build
from xtool_clip.encoder import ClipEncoder, Tokenizer
from xtool_clip.tokenizers import tokenizer_of


def load(name: str, options: EncoderOptions) -> ClipEncoder:
    """Load one of open_clip's models.

    Args:
        name: as in ``open_clip.list_models()``, for example ``"RN50"``.
        options: ``pretrained`` is a tag of the model (in any case), the path of a checkpoint, or ``None`` or
            ``"none"`` for random weights, which depend on ``seed`` alone.

    Raises :class:`xtool.plugin.UsageError` for an unknown model, tag or device name, and
    :class:`xtool.plugin.SetupError` for weights, a tokenizer or a device that are not available.
    """
    config = open_clip.get_model_config(name)
    if config is None:
        raise UsageError(_unknown_model(name))
    device = resolve_device(options.device)  # before any download
    weights = None
    if options.pretrained is not None and options.pretrained.lower() != "none":
        weights = checkpoint.find_weights(name, options.pretrained, options.cache_dir)
    tokenizer = tokenizer_of(name, config["text_cfg"], options.cache_dir, trained=weights is not None)
    return build(name, config, weights, tokenizer, options, device)


def load_local(
    name: str,
    *,
    config: Path,
    weights: Path | None,
    options: EncoderOptions,
    tokenizer: Tokenizer | None = None,
    label: str | None = None,
) -> ClipEncoder:
    """Load a model that open_clip does not list: for plugins with weights of their own.

    Args:
        name: what results call the model.
        config: JSON in open_clip's format: ``embed_dim``, ``vision_cfg``, ``text_cfg``, or the same under
            ``model_cfg`` beside a ``preprocess_cfg`` with mean and std, as on the hub.
        weights: safetensors or torch checkpoint, in any float type; ``None`` for random weights from ``options.seed``.
        options: seed, device and dtype are used; the caller decides which weights to take.
        tokenizer: texts to token ids [T, context length]; ``None`` for CLIP's own.
        label: what results call the weights; ``None`` for the name of the file.

    Raises :class:`xtool.plugin.SetupError` for files that are missing, damaged, or do not fit each other.
    """
    device = resolve_device(options.device)
    try:
        content = json.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SetupError(f"cannot read the configuration of {name}, {config}: {error}") from error
    model_config = content.get("model_cfg", content)
    if weights is not None and not weights.is_file():
        raise SetupError(f"weights of {name}: there is no file {weights}")
    found = None
    if weights is not None:
        quick_gelu = bool(model_config.get("quick_gelu", False))
        found = checkpoint.Weights(weights, label or weights.name, quick_gelu, {})
    if tokenizer is None:
        tokenizer = open_clip.SimpleTokenizer(context_length=model_config["text_cfg"].get("context_length", 77))
    return build(name, model_config, found, tokenizer, options, device, content.get("preprocess_cfg"))


def _unknown_model(name: str) -> str:
    models = open_clip.list_models()
    lowered = {model.lower(): model for model in models}
    close = [lowered[match] for match in get_close_matches(name.lower(), lowered, n=3)]
    hint = f"did you mean {' or '.join(close)}?" if close else "xtool encoders lists them"
    return f"open_clip has no model {name!r}; {hint}"
