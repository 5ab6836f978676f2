"""xtool shows, measures and compares where image–text models look.

>>> import xtool
>>> encoder = xtool.load_encoder("tiny-rn")
>>> result = xtool.explain("photo.jpg", ["an image of a dog."], encoder=encoder)  # doctest: +SKIP
>>> result.boxes(threshold=0.6)  # doctest: +SKIP

Everything here is imported when it is first used, so that ``import xtool`` stays fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xtool.datasets.opening import open_dataset
    from xtool.engine.encoders import load_encoder
    from xtool.errors import XtoolError
    from xtool.explanation import Explanation, explain, explain_all
    from xtool.runs.comparison import compare
    from xtool.runs.run import Run

__all__ = [
    "Explanation",
    "Run",
    "XtoolError",
    "compare",
    "explain",
    "explain_all",
    "load_encoder",
    "open_dataset",
]

_HOME = {
    "Explanation": "xtool.explanation",
    "Run": "xtool.runs.run",
    "XtoolError": "xtool.errors",
    "compare": "xtool.runs.comparison",
    "explain": "xtool.explanation",
    "explain_all": "xtool.explanation",
    "load_encoder": "xtool.engine.encoders",
    "open_dataset": "xtool.datasets.opening",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
