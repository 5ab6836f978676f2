"""A model of timm by its name, with its weights. timm itself takes seconds to import, and many never need it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from xtool.loading import local_checkpoint, seeded, sha256
from xtool.plugin import EncoderOptions, UsageError
from xtool_timm import PREFIX
from xtool_timm.features_only import token_grid
from xtool_timm.lite0 import Lite0
from xtool_timm.weights import LITE0, PACKAGED, load_weights, packaged_weights, published_weights

__all__ = ["config_of", "load_model", "resized"]

ANY = "timm"
"""The encoder that is told its model together with the weights."""


def load_model(encoder: str, options: EncoderOptions, classes: int | None) -> tuple[nn.Module, str, str | None]:
    """The model in eval mode, and what its weights are called, with their hash where they are a file.

    Args:
        encoder: its name here, ``timm-MODEL`` or ``timm``.
        options: as :func:`xtool_timm.load.load` takes them.
        classes: how many classes it has, if not its own number.
    """
    name, pretrained = _asked(encoder, options.pretrained)
    file = _file(name, pretrained)
    _check_known(name, pretrained if file is None else None)
    if pretrained is not None and file is None:
        file = published_weights(name, pretrained, options.cache_dir)
    with seeded(options.seed):
        model = _built(name, classes)
    which = f"{name}, " if encoder == ANY else ""
    if pretrained is None or file is None:
        return model.eval(), f"{which}random (seed {options.seed})", None
    load_weights(model, name, file)
    return model.eval(), which + Path(pretrained).name, sha256(file)


def config_of(model: Any) -> Mapping[str, Any]:
    config: Mapping[str, Any] = model.pretrained_cfg
    return config


def resized(model: Any, side: int | None, name: str) -> tuple[int, int]:
    """The size of the input, in a transformer after its positions were resized for it."""
    own = config_of(model)["input_size"]
    if side is None:
        return int(own[1]), int(own[2])
    if token_grid(model) is not None:
        patch = model.patch_embed.patch_size[0]
        if side % patch:  # the rest of the picture would be cut off
            raise UsageError(f"{name}: the side of its images must be a multiple of its patches of {patch} pixels")
        try:
            model.set_input_size(img_size=(side, side))
        except (AssertionError, AttributeError, RuntimeError, ValueError) as error:
            raise UsageError(f"{name}: it cannot take images of {side}×{side} pixels: {error}") from error
    return side, side


def _asked(name: str, pretrained: str | None) -> tuple[str, str | None]:
    """The model's name of timm, and its weights."""
    if name != ANY:
        return name.removeprefix(PREFIX), pretrained
    if pretrained is None:
        raise UsageError(
            "encoder timm needs --pretrained with a model: MODEL or MODEL.TAG for timm's weights, MODEL=FILE for a "
            "checkpoint, MODEL=none for random weights"
        )
    model, equals, file = pretrained.partition("=")
    if equals:
        return model, None if file.lower() == "none" else file
    model, dot, tag = pretrained.partition(".")
    return model, tag if dot else _first_tag(model)


def _first_tag(model: str) -> str:
    """The weights that timm takes where none are named."""
    import timm

    _check_known(model, None)
    tags = timm.list_pretrained(f"{model}.*")
    if not tags:
        raise UsageError(f"timm has no weights of {model}; give MODEL=FILE, or MODEL=none for random ones")
    tag: str = timm.get_pretrained_cfg(model).tag
    return tag


def _built(name: str, classes: int | None) -> nn.Module:
    given = {} if classes is None else {"classes" if name == LITE0 else "num_classes": classes}
    if name == LITE0:
        return Lite0(**given)
    import timm

    model: nn.Module = timm.create_model(name, pretrained=False, **given)
    return model


def _file(name: str, pretrained: str | None) -> Path | None:
    if pretrained == PACKAGED:
        if name != LITE0:
            raise UsageError(f"weights {PACKAGED!r} exist only for {PREFIX}{LITE0}")
        return packaged_weights()
    if pretrained is None:
        return None
    return local_checkpoint(pretrained, name)


def _check_known(name: str, tag: str | None) -> None:
    """Raise :class:`UsageError` for a model or a tag that timm does not have, before anything is fetched."""
    if name == LITE0 and tag is None:
        return
    import timm

    if name not in timm.list_models():
        near = difflib.get_close_matches(name, timm.list_models(), n=2)
        raise UsageError(f"timm has no model {name!r}" + (f"; did you mean {' or '.join(near)}?" if near else ""))
    if tag is None:
        return
    tags = [known.partition(".")[2] for known in timm.list_pretrained(f"{name}.*")]
    if tag not in tags:
        raise UsageError(
            f"{name} has no weights {tag!r}; timm has {', '.join(tags) or 'none'}, or give a checkpoint file"
        )
