"""From records to the rows of a comparison. Every number here is a mean over records; nothing is measured again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xtool.errors import UsageError
from xtool.metrics.presence import auroc, balanced_accuracy
from xtool.metrics.protocols import LocalizationProtocol, accuracy, get_protocol
from xtool.metrics.topk import localization_rates
from xtool.optional_metrics import summarise_metrics

if TYPE_CHECKING:
    from xtool.runs.records import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One method's result. Fractions lie in [0, 1]; ``None`` where the data set or the method gives no such number."""

    method: str
    images: int
    threshold: float | None
    """The threshold behind this row: the fixed one, or the best of the sweep; ``None`` for ``maxboxaccv2``, which has
    one for each of its three IoU levels."""
    box_iou: float
    """Mean over images of the best IoU at that threshold."""
    gt_known: float
    """Fraction of images whose object was found."""
    top1: float | None
    """Fraction found whose class was also named first."""
    top5: float | None
    pointing: float
    """Fraction of images whose peak lies in a true box."""
    presence: float | None
    """Balanced accuracy of ``present`` on true and on absent texts."""
    presence_auroc: float | None
    swapped: float | None
    """``gt_known`` when the map is made for another thing in the image: low where the text matters."""
    pxap: float | None
    """Pixel-wise average precision, where it was asked for and the data set has masks."""
    insertion: float | None
    deletion: float | None
    seconds_per_image: float
    """Median."""
    forwards_per_image: float
    curve: tuple[float, ...] = field(repr=False)
    """``gt_known`` at each threshold of the sweep."""
    iou_curve: tuple[float, ...] = field(repr=False)
    """``box_iou`` at each threshold of the sweep."""


Threshold = float | Mapping[str, float] | None
"""Fixed for every method, fixed for each by its label, or the best of the sweep (``None``)."""


def summarise(records: Iterable[Record], protocol_name: str, threshold: Threshold = None) -> list[Row]:
    """One row per method, in the order in which they first appear.

    Args:
        records: of one run, or of several shards of one run.
        protocol_name: the protocol that the records were made with.
        threshold: fix it for every method, or for each by its label; the best of the sweep by default.

    Raises:
        UsageError: a threshold that is not in the sweep, or a method without one.
    """
    by_method: dict[str, list[Record]] = {}
    for record in records:
        if "method" in record:
            by_method.setdefault(record["method"], []).append(record)
    return [_row(label, found, protocol_name, fixed_threshold(threshold, label)) for label, found in by_method.items()]


def fixed_threshold(threshold: Threshold, label: str) -> float | None:
    """One method's fixed threshold; ``None`` takes the best. Raises :class:`UsageError` for a method without one."""
    if not isinstance(threshold, Mapping):
        return threshold
    if label not in threshold:
        raise UsageError(f"no threshold was chosen for {label}; there are some for {', '.join(threshold)}")
    return threshold[label]


def failures(records: Iterable[Record]) -> list[Record]:
    """Records of images that could not be used and were not mended by a later attempt, one per image."""
    whole: set[int] = set()
    failed: dict[int, Record] = {}
    for record in records:
        if "error" in record:
            failed[record["index"]] = record
        else:
            whole.add(record["index"])
    return [record for index, record in failed.items() if index not in whole]


def _row(label: str, records: Sequence[Record], protocol_name: str, threshold: float | None) -> Row:
    protocol = get_protocol(protocol_name)
    ious = np.array([record["ious"] for record in records], dtype=np.float32)
    choice = protocol.choose(ious, threshold)
    ranks = [record["rank"] for record in records]
    rates = localization_rates(protocol.credit(ious, choice), None if None in ranks else ranks)
    swapped = [record["swapped_ious"] for record in records if "swapped_ious" in record]
    return Row(
        method=label,
        images=len(records),
        threshold=choice.thresholds[0] if len(set(choice.thresholds)) == 1 else None,
        box_iou=choice.box_iou,
        gt_known=rates.gt_known,
        top1=rates.top1,
        top5=rates.top5,
        pointing=_mean([record["pointing"] for record in records]),
        presence=_presence(records),
        presence_auroc=_presence_auroc(records),
        swapped=_mean(protocol.credit(np.array(swapped, np.float32), choice)) if swapped else None,
        **summarise_metrics(records),
        seconds_per_image=float(np.median([record["seconds"] for record in records])),
        forwards_per_image=_mean([record["forwards"] for record in records]),
        curve=tuple(_curve(protocol, ious)),
        iou_curve=tuple(float(value) for value in ious.mean(axis=0)),
    )


def _curve(protocol: LocalizationProtocol, ious: NDArray[np.float32]) -> list[float]:
    """Accuracy at each threshold, averaged over the protocol's IoU levels."""
    levels = [accuracy(ious, delta, strict=protocol.strict) for delta in protocol.deltas]
    return [float(value) for value in np.mean(levels, axis=0)]


def _presence(records: Sequence[Record]) -> float | None:
    asked = [record for record in records if "absent_present" in record]
    # A method without evidence scores says "present" to everything: no verdict, so no number.
    if not asked or asked[0]["score"] is None:
        return None
    return balanced_accuracy([record["present"] for record in asked], [record["absent_present"] for record in asked])


def _presence_auroc(records: Sequence[Record]) -> float | None:
    asked = [record for record in records if record.get("absent_score") is not None]
    if not asked or asked[0]["score"] is None:
        return None
    return auroc([record["score"] for record in asked], [record["absent_score"] for record in asked]).value


def _mean(values: Iterable[Any]) -> float:
    return float(np.mean([float(value) for value in values]))
