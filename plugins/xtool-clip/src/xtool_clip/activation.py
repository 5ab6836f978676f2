"""QuickGELU or GELU: weights do not say which they were trained with, and with the other their numbers are wrong."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import open_clip

LOG = logging.getLogger("xtool_clip")

SUFFIX = "-quickgelu"
"""What open_clip adds to a model's name."""

SHORTEST_TAG = 5
"""Shorter tags of weights (``v1``, ``meta``) stand in many names by chance."""


def warn_of_mismatch(name: str, config: Mapping[str, Any], file: Path) -> None:
    """Say so where a file's name tells of another activation than the model has.

    Args:
        name: of the model.
        config: open_clip's, as the model is built.
        file: the weights.
    """
    built, trained = bool(config.get("quick_gelu", False)), trained_with_quick_gelu(file)
    if trained in (None, built):
        return
    other = name.removesuffix(SUFFIX) if built else name + SUFFIX
    listed = other in open_clip.list_models()
    way_out = f"--encoder {other}" if listed else f'"quick_gelu": {str(trained).lower()} in its configuration'
    words = ("QuickGELU", "GELU") if trained else ("GELU", "QuickGELU")
    LOG.warning(
        "by their name, the weights %s were trained with %s, but %s is built with %s; if so, its answers are wrong in "
        "silence: take %s",
        file, words[0], name, words[1], way_out,
    )  # fmt: skip


def trained_with_quick_gelu(file: Path) -> bool | None:
    """What the name of weights tells, with those of the folders that they lie in; ``None`` where it tells nothing.

    The architecture in the name of one of open_clip's training runs, else ``quickgelu`` itself, else the longest tag
    of published weights, which is in the names of their files and repositories.
    """
    named = "/".join(file.absolute().parts[-4:])  # a cache has the repository four steps up
    run = re.search(r"model_([\w.-]+?)-lr_", named)
    if run and (config := open_clip.get_model_config(run[1])):
        return bool(config.get("quick_gelu", False))
    plain = named.lower().replace("-", "_")
    if SUFFIX.removeprefix("-") in plain:
        return True
    told = [tag for tag in _tags() if tag in plain]
    return _tags()[max(told, key=len)] if told else None


@cache
def _tags() -> dict[str, bool]:
    """For each tag of published weights whether it means QuickGELU, where that is the same for all models that have it,
    and for all longer tags that contain it."""
    found: dict[str, set[bool]] = {}
    for model, tag in open_clip.list_pretrained():
        weights, config = open_clip.get_pretrained_cfg(model, tag), open_clip.get_model_config(model)
        found.setdefault(tag, set()).add(bool(weights.get("quick_gelu") or config.get("quick_gelu")))
    meanings = {tag: set().union(*(found[other] for other in found if tag in other)) for tag in found}
    return {tag: told.pop() for tag, told in meanings.items() if len(told) == 1 and len(tag) >= SHORTEST_TAG}
