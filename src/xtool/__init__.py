"""xtool shows, measures and compares where image–text models look.

>>> import xtool
>>> encoder = xtool.load_encoder("tiny-rn")
>>> result = xtool.explain("photo.jpg", ["dog", "cat"], encoder=encoder)  # doctest: +SKIP
>>> result.show()  # doctest: +SKIP
>>> result.boxes()  # doctest: +SKIP

Everything here is imported when it is first used, so that ``import xtool`` stays fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str

    from xtool.datasets.opening import open_dataset
    from xtool.engine.encoders import load_encoder
    from xtool.errors import XtoolError
    from xtool.evaluator.comparison import compare
    from xtool.explainer import explain
    from xtool.explanation import Explanation, Explanations
    from xtool.runs.run import Run

__all__ = [
    "Explanation",
    "Explanations",
    "Run",
    "XtoolError",
    "compare",
    "explain",
    "load_encoder",
    "open_dataset",
]

_HOME = {
    "Explanation": "xtool.explanation",
    "Explanations": "xtool.explanation",
    "Run": "xtool.runs.run",
    "XtoolError": "xtool.errors",
    "compare": "xtool.evaluator.comparison",
    "explain": "xtool.explainer",
    "load_encoder": "xtool.engine.encoders",
    "open_dataset": "xtool.datasets.opening",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("xtool-saliency")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
