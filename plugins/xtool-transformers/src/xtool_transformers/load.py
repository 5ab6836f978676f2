"""Build an encoder from a model of Hugging Face's transformers."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from xtool.loading import resolve_device, resolve_dtype
from xtool.plugin import EncoderInfo, EncoderOptions, SetupError, UsageError
from xtool_transformers.encoder import TransformersEncoder
from xtool_transformers.families import Family
from xtool_transformers.folder import read_config, read_model, read_tokenizer, weights_digest
from xtool_transformers.preprocessing import Preprocessing, read_preprocessing
from xtool_transformers.text import TextTower

__all__ = ["load", "load_folder"]

LOG = logging.getLogger("xtool_transformers")


def load_folder(name: str, folder: Path, options: EncoderOptions, *, label: str, trained: bool = True) -> TransformersEncoder:
    """Load a model from a folder that ``save_pretrained`` of a model and its processor wrote.

    Args:
        name: what results call the model.
        folder: with configuration, weights, tokenizer and image processor.
        options: all but ``pretrained`` and ``cache_dir``.
        label: what results call the weights.
        trained: whether to read the weights; otherwise they are random, from ``options.seed``.

    Raises :class:`xtool.plugin.SetupError` for a folder in which something is missing or damaged, and
    :class:`xtool.plugin.UsageError` for a model of a kind that cannot be read.
    """
    if options.compile:
        LOG.warning("%s: --compile is ignored, models of transformers are not compiled", name)
    device = resolve_device(options.device)
    config, family = read_config(folder, name)
    preprocessing = read_preprocessing(folder, name, family.norm)
    tokenizer = read_tokenizer(folder, name)
    model = read_model(folder, name, config, family, None if trained else options.seed).to(device)
    tower = family.tower(model, _input_size(name, config, family, preprocessing, options.input_size))
    context = min(int(tokenizer.model_max_length), int(config.text_config.max_position_embeddings))
    text = TextTower(model, tokenizer, family.text_features, context, padded=family.padded)
    info = EncoderInfo(
        name=name,
        architecture=tower.architecture,
        input_size=tower.input_size,
        mean=preprocessing.mean,
        std=preprocessing.std,
        embed_dim=family.embed_dim(config),
        patch_size=tower.patch_size,
        layers=tower.layers,
        default_layer=tower.layers[-1],
        gradient_layer=tower.gradient_layer,
        default_features="hf-spatial" if tower.architecture == "cnn" else "hf-tokens",
        weights=label if trained else f"random (seed {options.seed})",
        weights_sha256=weights_digest(folder) if trained else None,
        logit_scale=family.logit_scale(model),
        trained=trained,
        pools_masks=tower.pools_masks,
    )
    return TransformersEncoder(tower, text, info, resolve_dtype(options.dtype))


def _input_size(
    name: str, config: Any, family: Family, preprocessing: Preprocessing, asked: int | None
) -> tuple[int, int]:
    if asked is not None:
        return asked, asked
    if family.sized_by_processor and preprocessing.size is not None:
        return preprocessing.size
    side = int(config.vision_config.image_size)
    return side, side

