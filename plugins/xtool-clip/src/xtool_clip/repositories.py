"""Which folders and repositories are in open_clip's layout. Imports neither torch nor open_clip."""

from __future__ import annotations

from xtool.loading import ModelFiles

__all__ = ["CONFIG", "FOLDER", "HUB", "OWN", "in_folder", "on_the_hub"]

HUB = "hf-hub:"
FOLDER = "local-dir:"
"""The prefixes are open_clip's own."""

CONFIG = "open_clip_config.json"

OWN = "own"
"""The tag of the weights that lie beside the configuration."""


def on_the_hub(files: ModelFiles) -> bool:
    """Whether it is a repository that ``hf-hub:`` loads."""
    return files.folder is None and files.get(CONFIG) is not None


def in_folder(files: ModelFiles) -> bool:
    """Whether it is a folder that ``local-dir:`` loads."""
    return files.folder is not None and files.get(CONFIG) is not None
