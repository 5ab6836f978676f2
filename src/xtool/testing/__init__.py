"""For authors of plugins: the conformance kit, and encoders whose evidence lies at a known place.

>>> import xtool.testing
>>> test_conforms = xtool.testing.conformance("my-method")  # doctest: +SKIP

Everything here is imported when it is first used: neither pytest nor torch is needed to import this package.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xtool.testing.judge import verdicts
    from xtool.testing.planted import PlantedCNN, planted_image
    from xtool.testing.planted_vit import PlantedViT
    from xtool.testing.pytest_support import conformance

__all__ = [
    "PlantedCNN",
    "PlantedViT",
    "conformance",
    "planted_image",
    "verdicts",
]

_HOME = {
    "PlantedCNN": "planted",
    "PlantedViT": "planted_vit",
    "conformance": "pytest_support",
    "planted_image": "planted",
    "verdicts": "judge",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
