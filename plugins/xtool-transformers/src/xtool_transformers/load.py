"""Build an encoder from a model of Hugging Face's transformers."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from xtool.loading import ModelFiles, local_checkpoint, resolve_device, resolve_dtype, seeded, sha256
from xtool.plugin import EncoderInfo, EncoderOptions, UsageError
from xtool_transformers.encoder import TransformersEncoder
from xtool_transformers.families import FAMILIES, Family
from xtool_transformers.folder import (
    load_checkpoint,
    random_model,
    read_config,
    read_model,
    read_tokenizer,
    weights_digest,
)
from xtool_transformers.models import OWN, PREFIX, gather, kind_of
from xtool_transformers.preprocessing import Preprocessing, read_preprocessing
from xtool_transformers.text import TextTower

__all__ = ["load"]

LOG = logging.getLogger("xtool_transformers")


def load(name: str, options: EncoderOptions) -> TransformersEncoder:
    """Load ``hf:ORG/NAME``, a repository of the Hugging Face hub, or ``hf:PATH``, a folder.

    Args:
        name: with the prefix.
        options: ``pretrained`` is ``"own"`` for the weights that are there, the path of a checkpoint, or ``None`` or
            ``"none"`` for random weights, which depend on ``seed`` alone.

    Raises :class:`xtool.plugin.SetupError` for a folder or repository in which something is missing or damaged, and
    :class:`xtool.plugin.UsageError` for a model of a kind that cannot be read.
    """
    place = name.removeprefix(PREFIX)
    files = ModelFiles.named(place, options.cache_dir)
    if files is None or not place:
        raise UsageError(f"{name}: there is no such folder; give {PREFIX}PATH of one, or {PREFIX}ORG/NAME on the hub")
    if options.compile:
        LOG.warning("%s: --compile is ignored, models of transformers are not compiled", name)
    device = resolve_device(options.device)  # before any download
    weights = _weights(name, options.pretrained)
    kind = kind_of(files, name)
    family = FAMILIES[kind]
    folder = gather(files, name, weights=weights == OWN)
    config = read_config(folder, name, kind)
    preprocessing = read_preprocessing(folder, name, family.norm)
    tokenizer = read_tokenizer(folder, name)
    if weights == OWN:
        model = read_model(folder, name, config, family)
        label, digest = files.place if files.folder is None else folder.resolve().name, weights_digest(folder)
    else:
        model = random_model(folder, name, config, family, options.seed)
        label, digest = f"random (seed {options.seed})", None
    if isinstance(weights, Path):
        load_checkpoint(model, name, weights)
        label, digest = weights.name, sha256(weights)
    tower = family.tower(model.to(device), _input_size(config, family, preprocessing, options.input_size))
    if weights is None:
        with seeded(options.seed):
            tower.settle()
    context = min(int(tokenizer.model_max_length), int(config.text_config.max_position_embeddings))
    text = TextTower(name, model, tokenizer, family.text_features, context, padded=family.padded)
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
        weights=label,
        weights_sha256=digest,
        logit_scale=family.logit_scale(model),
        trained=digest is not None,
        pools_masks=tower.pools_masks,
    )
    return TransformersEncoder(tower, text, info, resolve_dtype(options.dtype))


def _weights(name: str, pretrained: str | None) -> Path | str | None:
    """A checkpoint, :data:`OWN`, or ``None`` for random weights."""
    if pretrained is None or pretrained.lower() == "none":
        return None
    if pretrained == OWN:
        return OWN
    file = local_checkpoint(pretrained, name)
    if file is None:
        raise UsageError(f"{name} has no weights {pretrained!r}; take its own, a path to a checkpoint, or 'none'")
    return file


def _input_size(config: Any, family: Family, preprocessing: Preprocessing, asked: int | None) -> tuple[int, int]:
    if asked is not None:
        return asked, asked
    if family.sized_by_processor and preprocessing.size is not None:
        return preprocessing.size
    side = int(config.vision_config.image_size)
    return side, side
