"""Models that open_clip does not list: a repository of the hub or a folder in open_clip's layout."""

from __future__ import annotations

from pathlib import Path

from open_clip.constants import HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME

from xtool.loading import ModelFiles, local_checkpoint
from xtool.plugin import EncoderOptions, SetupError, UsageError
from xtool_clip.encoder import ClipEncoder
from xtool_clip.load import load_local
from xtool_clip.repositories import CONFIG, FOLDER, HUB, OWN
from xtool_clip.tokenizers import tokenizer_of

WEIGHTS = (
    HF_SAFE_WEIGHTS_NAME,
    "open_clip_pytorch_model.safetensors",
    HF_WEIGHTS_NAME,
    "model.safetensors",
    "pytorch_model.bin",
)
"""Under which weights lie beside the configuration, in order of preference."""

PARTS = ("embed_dim", "vision_cfg", "text_cfg")
"""Without which open_clip calls nothing a model."""


def load_from_hub(name: str, options: EncoderOptions) -> ClipEncoder:
    """Load ``hf-hub:ORG/NAME``.

    Args:
        name: with the prefix.
        options: ``pretrained`` is ``"own"`` for the repository's weights, the path of a checkpoint, or ``None`` or
            ``"none"`` for random weights.

    Raises :class:`xtool.plugin.SetupError` for a repository that cannot be reached or is in another layout.
    """
    return _load(name, ModelFiles.in_repository(name.removeprefix(HUB), options.cache_dir), options)


def load_from_folder(name: str, options: EncoderOptions) -> ClipEncoder:
    """Load ``local-dir:PATH``; otherwise as :func:`load_from_hub`."""
    return _load(name, ModelFiles.in_folder(name.removeprefix(FOLDER)), options)


def _load(name: str, files: ModelFiles, options: EncoderOptions) -> ClipEncoder:
    content, config = files.json(CONFIG), files.get(CONFIG)
    if content is None or config is None:
        raise SetupError(f"cannot load {name}: {files} has no {CONFIG}, so it is not in open_clip's layout")
    model = content.get("model_cfg", content)
    if missing := [part for part in PARTS if part not in model]:
        raise SetupError(
            f"cannot load {name}: its {CONFIG} describes no model, as it has no {' and no '.join(missing)}"
        )
    weights = _weights(name, files, options.pretrained)
    tokenizer = tokenizer_of(name, model["text_cfg"], options.cache_dir, trained=weights is not None, files=files)
    return load_local(name, config=config, weights=weights, options=options, tokenizer=tokenizer)


def _weights(name: str, files: ModelFiles, pretrained: str | None) -> Path | None:
    if pretrained is None or pretrained.lower() == "none":
        return None
    if pretrained != OWN:
        file = local_checkpoint(pretrained, name)
        if file is None:
            raise UsageError(f"{name} has no weights {pretrained!r}; take its own, a path to a checkpoint, or 'none'")
        return file
    beside = files.get(*WEIGHTS)
    if beside is None:
        raise SetupError(f"cannot load {name}: {files} has none of {', '.join(WEIGHTS)}; --pretrained PATH names any")
    return beside
