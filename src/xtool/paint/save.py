"""Writing figures. Matplotlib's object interface only: no global state, no display needed."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from xtool.errors import RunError, UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["ENDINGS", "check_target", "figure_png", "figure_svg", "save_figure"]

ENDINGS = (".png", ".svg", ".pdf", ".jpg", ".jpeg", ".webp")
DPI = 150
LARGEST_SIDE = {".webp": 16_383, ".jpg": 65_500, ".jpeg": 65_500, ".png": 65_500}
"""Pixels that a format, or matplotlib's drawing for it, can have on a side; the others are drawings without pixels."""
MARGIN = 0.95
"""What is drawn over the edge of a figure makes it a little larger."""


def check_target(path: str | Path, endings: tuple[str, ...] = ENDINGS) -> Path:
    """Refuse a file that could not be written, before any work is done.

    Raises:
        UsageError: an ending that is not among ``endings``, or a folder, a pipe or a device of that name.
        RunError: a folder that is missing and cannot be made, or one without write permission.
    """
    path = Path(path)
    if path.suffix.lower() not in endings:
        raise UsageError(f"{path}: the name must end in one of {', '.join(endings)}")
    if path.is_dir():
        raise UsageError(f"{path} is a folder; give the name of a file")
    if path.exists() and not path.is_file():
        raise UsageError(f"{path} is a pipe, a device or a socket; give the name of a file")
    # The nearest thing that is there: what is missing below it would be made.
    there = path if path.exists() else next(folder for folder in path.absolute().parents if folder.exists())
    if there != path and not there.is_dir():
        raise RunError(f"{path} cannot be written: {there} is not a folder")
    if not os.access(there, os.W_OK):
        raise RunError(f"{path} cannot be written: no permission to write {'it' if there == path else f'in {there}'}")
    return path


def save_figure(figure: Figure, path: str | Path) -> Path:
    """Write a figure in the format of the file's ending, and return the file. Raises as :func:`check_target`.

    One with more pixels than the format can have, as of hundreds of texts, is drawn smaller.
    """
    path = check_target(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _any_script():
            figure.savefig(path, dpi=_dpi(figure, path), bbox_inches="tight")
    except (OSError, ValueError, MemoryError) as error:  # each format has its own largest size
        reason = (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
        raise RunError(f"{path} cannot be written: {reason}") from error
    return path


def _dpi(figure: Figure, path: Path) -> float:
    largest = LARGEST_SIDE.get(path.suffix.lower())
    return DPI if largest is None else min(DPI, MARGIN * largest / max(figure.get_size_inches()))


def figure_png(figure: Figure) -> bytes:
    """The figure as the bytes of a PNG."""
    return _written(figure, "png")


def figure_svg(figure: Figure) -> bytes:
    """The figure as the bytes of an SVG."""
    return _written(figure, "svg")


def _written(figure: Figure, kind: str) -> bytes:
    stream = BytesIO()
    with _any_script():
        figure.savefig(stream, format=kind, dpi=DPI, bbox_inches="tight")
    return stream.getvalue()


@contextmanager
def _any_script() -> Iterator[None]:
    """Letters that matplotlib's own font lacks come from fonts of the system, or show as boxes without a warning."""
    from matplotlib import rc_context
    from matplotlib.font_manager import fontManager

    installed = {font.name for font in fontManager.ttflist}
    families = ["DejaVu Sans", *(name for name in SCRIPT_FONTS if name in installed)]
    with rc_context({"font.family": families}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


SCRIPT_FONTS = (
    "Noto Sans CJK JP", "Noto Sans CJK SC", "Hiragino Sans", "PingFang SC", "Yu Gothic", "Microsoft YaHei", "SimHei",
    "Malgun Gothic", "Noto Sans Devanagari", "Noto Sans Thai", "Arial Unicode MS",
)  # fmt: skip
"""Tried in this order for scripts that matplotlib's own font does not know."""
