"""What a metric measures: one method's answer for one sample."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xtool.metrics.image_map import ImageMap

if TYPE_CHECKING:
    from torch import Tensor

    from xtool.contracts.protocols import Encoder, Sample
    from xtool.metrics.protocols import LocalizationProtocol

__all__ = ["Answer", "Case"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a method says about one text."""

    image_map: ImageMap
    present: bool | None
    """Whether it finds the text in the image; ``None`` from a method that cannot tell."""
    score: float | None
    """The evidence behind ``present``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One sample, explained by one method."""

    sample: Sample
    target: Answer
    """About the sample's label."""
    absent: Answer | None
    """About a text that is not in the image, where the data set names one."""
    distractor: Answer | None
    """About something else in the image, where the data set names it."""
    protocol: LocalizationProtocol
    encoder: Encoder
    pixels: Tensor
    """[1, 3, H, W] what was explained."""
    text: Tensor
    """[1, D] the label's embedding."""
    ranks: Callable[[Tensor], list[int]] | None
    """Of embedded images [N, D], the rank of the sample's class among the data set's, from 1; ``None`` where there are
    no classes."""
