"""Build encoders: open_clip's models by name, or any model from a configuration and a weights file."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import asdict
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.transform import PreprocessCfg
from torch import nn

from xtool.loading import DownloadError, fetch, resolve_device, resolve_dtype, seeded, sha256
from xtool.plugin import EncoderInfo, EncoderOptions, SetupError, UsageError
from xtool_clip import checkpoint, towers
from xtool_clip.encoder import ClipEncoder, Tokenizer
from xtool_clip.mask_pooling import pools_masks
from xtool_clip.resizing import resize_tower


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
    tokenizer = _tokenizer(name, config, options.cache_dir)
    return _build(name, config, weights, tokenizer, options, device)


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
        found = checkpoint.Weights(weights, label or weights.name, quick_gelu, content.get("preprocess_cfg", {}))
    if tokenizer is None:
        tokenizer = open_clip.SimpleTokenizer(context_length=model_config["text_cfg"].get("context_length", 77))
    return _build(name, model_config, found, tokenizer, options, device)


def _build(
    name: str,
    config: dict[str, Any],
    weights: checkpoint.Weights | None,
    tokenizer: Tokenizer,
    options: EncoderOptions,
    device: torch.device,
) -> ClipEncoder:
    if weights is not None and weights.quick_gelu:
        config = {**config, "quick_gelu": True}
    with seeded(options.seed):
        model = _construct(name, config)
    if weights is not None:
        checkpoint.load_weights(model, name, weights.file)
    if options.input_size is not None:
        resize_tower(model.visual, name, options.input_size)  # type: ignore[arg-type]
    info = _describe(name, config, model, weights, options.seed)
    dtype = resolve_dtype(options.dtype)
    return ClipEncoder(model, tokenizer, info, device=device, dtype=dtype, compiled=options.compile)


def _construct(name: str, config: dict[str, Any]) -> nn.Module:
    """The model with open_clip's own random initialisation; its towers download nothing."""
    config = deepcopy(config)
    if "timm_model_name" in config["vision_cfg"]:
        config["vision_cfg"]["timm_model_pretrained"] = False
    has_hf_text = "hf_model_name" in config["text_cfg"]
    if has_hf_text:
        config["text_cfg"]["hf_model_pretrained"] = False
    custom_text = config.pop("custom_text", False) or has_hf_text
    kind = open_clip.CLIP
    if custom_text:
        kind = open_clip.CoCa if "multimodal_cfg" in config else open_clip.CustomTextCLIP
    try:
        return kind(**config)  # type: ignore[no-any-return]
    except Exception as error:  # transformers or timm missing or too old, or a configuration that makes no sense
        raise SetupError(f"cannot build {name} with this installation: {type(error).__name__}: {error}") from error


def _describe(
    name: str, config: dict[str, Any], model: nn.Module, weights: checkpoint.Weights | None, seed: int
) -> EncoderInfo:
    visual: nn.Module = model.visual  # type: ignore[assignment]
    tower = towers.describe(visual)
    preprocess = {**asdict(PreprocessCfg()), **(weights.preprocess if weights is not None else {})}
    return EncoderInfo(
        name=name,
        architecture=tower.architecture,
        input_size=towers.input_size(visual),
        mean=_triple(preprocess["mean"]),
        std=_triple(preprocess["std"]),
        embed_dim=config["embed_dim"],
        patch_size=tower.patch_size,
        layers=tower.layers,
        default_layer=tower.layers[-1],
        gradient_layer=tower.gradient_layer,
        default_features="spatial" if tower.architecture == "cnn" else "tokens",
        weights=f"random (seed {seed})" if weights is None else weights.label,
        weights_sha256=None if weights is None else sha256(weights.file),
        logit_scale=float(model.logit_scale.detach().exp()),  # type: ignore[operator]
        trained=weights is not None,
        pools_masks=pools_masks(visual, name),
    )


def _triple(values: Any) -> tuple[float, float, float]:
    first, second, third = (float(value) for value in values)
    return first, second, third


def _tokenizer(name: str, config: dict[str, Any], cache_dir: str | None) -> Tokenizer:
    repository = config["text_cfg"].get("hf_tokenizer_name")
    try:
        if repository:
            fetch(repository, ["tokenizer_config.json", "tokenizer.json"], cache_dir)
        if "hf_model_name" in config["text_cfg"]:
            fetch(config["text_cfg"]["hf_model_name"], ["config.json"], cache_dir)
        return open_clip.get_tokenizer(name, cache_dir=cache_dir)  # type: ignore[no-any-return]
    except DownloadError as error:
        raise SetupError(
            f"cannot get the tokenizer of {name}: {error}\n"
            "Ways out: --cache-dir DIR (or HF_HOME=DIR) with a Hugging Face cache that contains it, a model with "
            "CLIP's own tokenizer (RN50, ViT-B-16, …), or an encoder that needs no network: `xtool encoders` marks them"
        ) from error
    except Exception as error:  # the tokenizer's library is missing or too old, or its file is damaged
        hint = f"; {name} needs transformers: pip install transformers" if repository else ""
        raise SetupError(f"cannot load the tokenizer of {name}: {type(error).__name__}: {error}{hint}") from error


def _unknown_model(name: str) -> str:
    models = open_clip.list_models()
    lowered = {model.lower(): model for model in models}
    close = [lowered[match] for match in get_close_matches(name.lower(), lowered, n=3)]
    hint = f"did you mean {' or '.join(close)}?" if close else "xtool encoders lists them"
    return f"open_clip has no model {name!r}; {hint}"
