"""The images of a run, method by method: which came out best, worst, and unlike the other methods'."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from xtool.metrics.protocols import LocalizationProtocol, get_protocol
from xtool.runs.summary import fixed_threshold

if TYPE_CHECKING:
    from xtool.runs.records import Record
    from xtool.runs.run import Run

__all__ = ["Case", "MethodCases", "run_cases"]

LEVEL = 0.5
"""The IoU level whose threshold boxes are drawn at, where a protocol has several."""


@dataclass(frozen=True, slots=True)
class Case:
    """One method's answer for one image."""

    record: Record
    iou: float
    """Best IoU of any predicted with any true box, at the method's threshold."""
    found: bool
    difference: float
    """``iou`` minus the mean of the other methods' on the same image; 0 where there is no other."""


@dataclass(frozen=True, slots=True)
class MethodCases:
    """All images of one method, in the order of the data set."""

    method: str
    threshold: float
    """The row's threshold; where the protocol has one for each IoU level, that of 0.5."""
    cases: tuple[Case, ...]
    compared: bool
    """Whether there are other methods to differ from."""

    def best(self, number: int) -> list[Case]:
        """At most ``number`` found images, highest IoU first."""
        return sorted((case for case in self.cases if case.found), key=lambda case: -case.iou)[:number]

    def worst(self, number: int) -> list[Case]:
        """At most ``number`` images, lowest IoU first; none that :meth:`best` shows too."""
        shown = {id(case) for case in self.best(number)}
        rest = [case for case in self.cases if id(case) not in shown]
        return sorted(rest, key=lambda case: case.iou)[:number]

    def disagreeing(self, number: int) -> list[Case]:
        """At most ``number`` images that differ most from the other methods' mean, either way."""
        differing = [case for case in self.cases if self.compared and case.difference]
        return sorted(differing, key=lambda case: -abs(case.difference))[:number]


def run_cases(run: Run) -> list[MethodCases]:
    """Every method of a run, in the order of its rows."""
    protocol = get_protocol(run.identity["protocol"])
    by_method: dict[str, list[Record]] = {}
    for record in run.records:
        if "method" in record:
            by_method.setdefault(record["method"], []).append(record)
    chosen = {
        label: _threshold_index(protocol, found, fixed_threshold(run.threshold, label))
        for label, found in by_method.items()
    }
    per_image: dict[int, dict[str, float]] = {}
    for label, found in by_method.items():
        for record in found:
            per_image.setdefault(record["index"], {})[label] = float(record["ious"][chosen[label]])
    return [
        MethodCases(
            method=label,
            threshold=float(protocol.thresholds[chosen[label]]),
            cases=tuple(
                _case(record, label, per_image[record["index"]], protocol)
                for record in sorted(found, key=lambda record: int(record["index"]))
            ),
            compared=len(by_method) > 1,
        )
        for label, found in by_method.items()
    ]


def _threshold_index(protocol: LocalizationProtocol, records: Sequence[Record], threshold: float | None) -> int:
    choice = protocol.choose(np.array([record["ious"] for record in records], np.float32), threshold)
    return choice.indices[protocol.deltas.index(LEVEL)]


def _case(record: Record, label: str, ious: dict[str, float], protocol: LocalizationProtocol) -> Case:
    iou = ious[label]
    others = [value for other, value in ious.items() if other != label]
    return Case(
        record=record,
        iou=iou,
        found=iou > LEVEL if protocol.strict else iou >= LEVEL,
        difference=iou - float(np.mean(others)) if others else 0.0,
    )
