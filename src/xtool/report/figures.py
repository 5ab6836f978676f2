"""Writing figures. Matplotlib's object interface only: no global state, no display needed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from xtool.errors import RunError, UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ENDINGS = (".png", ".svg", ".pdf", ".jpg", ".jpeg", ".webp")


def save_figure(figure: Figure, path: str | Path) -> Path:
    """Write a figure in the format of the file's ending, and return the file."""
    path = Path(path)
    if path.suffix.lower() not in ENDINGS:
        raise UsageError(f"{path}: a figure's name must end in one of {', '.join(ENDINGS)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=150, bbox_inches="tight")
    except OSError as error:
        raise RunError(f"{path} cannot be written: {error.strerror or error}") from error
    return path
