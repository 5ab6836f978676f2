"""Every metric, in the order of a table's columns. A new one is one file and one entry here."""

from __future__ import annotations

from collections.abc import Collection

from xtool.errors import UsageError
from xtool.metrics.box_iou import BoxIoU
from xtool.metrics.causal import Deletion, Insertion
from xtool.metrics.cost import Forwards, Seconds
from xtool.metrics.energy import EnergyPointing
from xtool.metrics.metric import Metric
from xtool.metrics.perturbation import NegativePerturbation, PositivePerturbation
from xtool.metrics.pointing import Pointing
from xtool.metrics.pointing_margin import Pointing15, Pointing15Difficult, Pointing15Mask, Pointing15MaskDifficult
from xtool.metrics.presence import Presence, PresenceAuroc
from xtool.metrics.pxap import PxAP
from xtool.metrics.segmentation import MeanAP, MeanIoU, PixelAccuracy
from xtool.metrics.specificity import Specificity
from xtool.metrics.swapped import Swapped
from xtool.metrics.topk import GTKnown, Top1, Top5

__all__ = ["METRICS", "ON_REQUEST", "chosen_metrics"]

METRICS: tuple[Metric, ...] = (
    BoxIoU(),
    GTKnown(),
    Top1(),
    Top5(),
    Pointing(),
    Pointing15(),
    Pointing15Difficult(),
    Pointing15Mask(),
    Pointing15MaskDifficult(),
    EnergyPointing(),
    Presence(),
    PresenceAuroc(),
    Swapped(),
    Specificity(),
    PxAP(),
    PixelAccuracy(),
    MeanIoU(),
    MeanAP(),
    Insertion(),
    Deletion(),
    PositivePerturbation(),
    NegativePerturbation(),
    Seconds(),
    Forwards(),
)

ON_REQUEST: tuple[str, ...] = tuple(metric.info.name for metric in METRICS if metric.on_request)
"""Names for ``xtool compare --metric``."""


def chosen_metrics(requested: Collection[str] = ()) -> tuple[Metric, ...]:
    """What a comparison measures: every metric but those on request that were not asked for.

    Raises :class:`UsageError` for an unknown name.
    """
    unknown = sorted(set(requested) - set(ON_REQUEST))
    if unknown:
        raise UsageError(f"unknown metric {', '.join(unknown)}; there are {', '.join(ON_REQUEST)}")
    return tuple(metric for metric in METRICS if not metric.on_request or metric.info.name in requested)
