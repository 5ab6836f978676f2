"""Put an encoder together from a configuration, a weights file and a tokenizer."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict
from typing import Any

import open_clip
import torch
from open_clip.transform import PreprocessCfg
from torch import nn

from xtool.loading import resolve_dtype, seeded, sha256
from xtool.plugin import EncoderInfo, EncoderOptions, SetupError
from xtool_clip import checkpoint, towers
from xtool_clip.activation import warn_of_mismatch
from xtool_clip.encoder import ClipEncoder, Tokenizer
from xtool_clip.mask_pooling import pools_masks
from xtool_clip.resizing import resize_tower


def build(
    name: str,
    config: dict[str, Any],
    weights: checkpoint.Weights | None,
    tokenizer: Tokenizer,
    options: EncoderOptions,
    device: torch.device,
    preprocess: Mapping[str, Any] | None = None,
) -> ClipEncoder:
    """An encoder named ``name``.

    Args:
        name: what results call it.
        config: open_clip's, with ``embed_dim``, ``vision_cfg``, ``text_cfg``.
        weights: the file, and what is known of it; ``None`` for random weights from ``options.seed``.
        tokenizer: texts to token ids [T, context length].
        options: seed, dtype, compile and input size are used.
        device: where it runs.
        preprocess: the ``mean`` and ``std`` that go with the configuration, where the weights do not say theirs.

    Raises :class:`xtool.plugin.SetupError` for weights that do not fit, or a configuration that cannot be built here.
    """
    if weights is not None and weights.quick_gelu:
        config = {**config, "quick_gelu": True}
    if weights is not None:
        warn_of_mismatch(name, config, weights.file)
    with seeded(options.seed):
        model = _construct(name, config)
    if weights is not None:
        checkpoint.load_weights(model, name, weights.file)
    if options.input_size is not None:
        resize_tower(model.visual, name, options.input_size)  # type: ignore[arg-type]
    info = _describe(name, config, model, weights, options.seed, preprocess or {})
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
    name: str,
    config: dict[str, Any],
    model: nn.Module,
    weights: checkpoint.Weights | None,
    seed: int,
    preprocess: Mapping[str, Any],
) -> EncoderInfo:
    visual: nn.Module = model.visual  # type: ignore[assignment]
    tower = towers.describe(visual)
    preprocess = {**asdict(PreprocessCfg()), **preprocess, **(weights.preprocess if weights is not None else {})}
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
