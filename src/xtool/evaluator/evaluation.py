"""What a run evaluates, and how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xtool.image.geometry import Fit

if TYPE_CHECKING:
    from xtool.contracts.protocols import Dataset, Encoder, SaliencyMethod
    from xtool.metrics.metric import Metric
    from xtool.metrics.protocols import LocalizationProtocol
    from xtool.store.packed import Maps

__all__ = ["Evaluation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What is evaluated, and how."""

    dataset: Dataset
    encoder: Encoder
    methods: dict[str, SaliencyMethod]
    """By the label of their row."""
    protocol: LocalizationProtocol
    templates: Sequence[str]
    fit: Fit = "squash"
    classifier: Encoder | None = None
    """Names the class for Top-1 and Top-5; the encoder itself when ``None``."""
    metrics: Sequence[Metric] = ()
    sources: Sequence[Encoder] = ()
    """Encoders whose feature maps methods work on, beside the one that is explained."""
    maps: Maps = "low"
    """What is kept of maps, and scored."""
