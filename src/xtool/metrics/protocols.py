"""Localization protocols: what counts as found, at which thresholds, and how a data set's number comes about.

All share one shape. Per image: the best IoU of any predicted with any true box, at every threshold
(:meth:`LocalizationProtocol.best_ious`, which is what a run records). Per data set: accuracy at every threshold,
*then* the best threshold; the best threshold of each image would be another, higher and meaningless number.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xtool.errors import UsageError
from xtool.metrics import wsol
from xtool.metrics.boxes import box_sweep
from xtool.metrics.image_map import ImageMap
from xtool.metrics.iou import box_iou
from xtool.metrics.metric import MetricInfo

__all__ = ["PROTOCOLS", "Choice", "LocalizationProtocol", "accuracy", "get_protocol"]

IoUs = NDArray[np.float32]
Floats = NDArray[np.float64]
Rule = Callable[[ImageMap, ArrayLike, Floats], IoUs]


@dataclass(frozen=True, slots=True)
class Choice:
    """A data set's localization accuracy and the thresholds that it was reached at."""

    accuracy: float
    """In [0, 1]; GT-known localization accuracy under the protocol. The mean over the protocol's ``deltas``."""
    indices: tuple[int, ...]
    """Which of the protocol's thresholds, one for each of its ``deltas``."""
    thresholds: tuple[float, ...]
    """Their values, fractions of the map's maximum."""
    box_iou: float
    """Mean over images of the best IoU, at these thresholds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalizationProtocol:
    """One way to turn maps and true boxes into an accuracy."""

    info: MetricInfo
    thresholds: Floats
    """[N] ascending fractions of the map's maximum."""
    deltas: tuple[float, ...]
    """IoU at which a box counts as found; the accuracy is the mean over them, each at its own best threshold."""
    strict: bool
    """Whether the IoU must be above ``delta``, or may equal it."""
    rule: Rule
    """``rule(image_map, boxes, thresholds)`` gives [N] best IoUs."""

    @property
    def name(self) -> str:
        return self.info.name

    def best_ious(self, image_map: ImageMap, boxes: ArrayLike) -> IoUs:
        """[N] the best IoU of any predicted with any true box, at each threshold.

        ``boxes`` [M, 4] are half-open in image pixels. A map that says nothing has IoU 0 in ``vlscore``, and that of
        the reference's dummy box elsewhere. Raises :class:`xtool.plugin.SetupError` where OpenCV is needed and missing.
        """
        return self.rule(image_map, boxes, self.thresholds)

    def choose(self, best_ious: ArrayLike, threshold: float | None = None) -> Choice:
        """Accuracy over a data set from ``best_ious`` [images, N]: at the best threshold, or at a given one.

        Among equals that with the best mean IoU, then the lowest. Raises :class:`UsageError` for no images or a
        threshold that is not in the sweep.
        """
        ious = self._checked(best_ious)
        accuracies = [accuracy(ious, delta, strict=self.strict) for delta in self.deltas]
        fixed = None if threshold is None else self.index_of(threshold)
        means = ious.mean(axis=0, dtype=np.float64)
        indices = tuple(_best(rates, means) if fixed is None else fixed for rates in accuracies)
        return Choice(
            accuracy=float(np.mean([rates[i] for rates, i in zip(accuracies, indices, strict=True)])),
            indices=indices,
            thresholds=tuple(float(self.thresholds[i]) for i in indices),
            box_iou=float(np.mean([means[i] for i in indices])),
        )

    def credit(self, best_ious: ArrayLike, choice: Choice) -> Floats:
        """[images] how far each image counts as found: 1 or 0, or the share of the protocol's ``deltas`` it meets.

        Its mean is the accuracy; weighted by Top-k classification it gives Top-k localization.
        """
        ious = self._checked(best_ious)
        pairs = zip(self.deltas, choice.indices, strict=True)
        hits: Floats = np.mean([_hits(ious[:, i], delta, self.strict) for delta, i in pairs], axis=0)
        return hits

    def index_of(self, threshold: float) -> int:
        """Which of the protocol's thresholds a value is. Raises :class:`UsageError` if none."""
        index = int(np.abs(self.thresholds - threshold).argmin())
        if abs(self.thresholds[index] - threshold) > 1e-9:
            known = ", ".join(f"{t:g}" for t in self.thresholds[:3])
            raise UsageError(f"{self.name} has no threshold {threshold:g}; it has {known}, … {self.thresholds[-1]:g}")
        return index

    def _checked(self, best_ious: ArrayLike) -> IoUs:
        ious = np.asarray(best_ious, np.float32)
        if ious.ndim != 2 or ious.shape[1] != len(self.thresholds) or not len(ious):
            raise UsageError(f"{self.name} needs IoUs of [images ≥ 1, {len(self.thresholds)}], got {ious.shape}")
        return ious


def accuracy(best_ious: IoUs, delta: float, *, strict: bool) -> Floats:
    """[N] share of images found at each threshold, from [images, N] IoUs."""
    rates: Floats = _hits(best_ious, delta, strict).mean(axis=0)
    return rates


def _best(rates: Floats, means: Floats) -> int:
    tied = np.flatnonzero(rates == rates.max())
    return int(tied[means[tied].argmax()])


def _hits(ious: IoUs, delta: float, strict: bool) -> NDArray[np.bool_]:
    # In float32 on both sides: 0.7 as float64 is more than 0.7 as float32.
    limit = np.float32(delta)
    return ious > limit if strict else ious >= limit


def _by_components(image_map: ImageMap, boxes: ArrayLike, thresholds: Floats) -> IoUs:
    sweep = box_sweep(image_map.full, thresholds)
    best = np.zeros(len(thresholds), np.float32)
    per_box = box_iou(sweep.boxes, boxes).max(axis=1, initial=0.0)
    np.maximum.at(best, sweep.threshold_index, per_box.astype(np.float32))
    return best


def _by_largest_contour(image_map: ImageMap, boxes: ArrayLike, thresholds: Floats) -> IoUs:
    return wsol.best_ious(image_map, boxes, thresholds, every=False)


def _by_every_contour(image_map: ImageMap, boxes: ArrayLike, thresholds: Floats) -> IoUs:
    return wsol.best_ious(image_map, boxes, thresholds, every=True)


VLSCORE = LocalizationProtocol(
    info=MetricInfo(
        name="vlscore",
        unit="fraction",
        direction="higher",
        summary="Any component's box overlaps any true box with IoU > 0.5.",
        paper="VL-Score; more lenient than protocols that take one box",
    ),
    thresholds=np.arange(100) / 100,
    deltas=(0.5,),
    strict=True,
    rule=_by_components,
)

MAXBOXACC = LocalizationProtocol(
    info=MetricInfo(
        name="maxboxacc",
        unit="fraction",
        direction="higher",
        summary="The largest contour's box overlaps any true box with IoU ≥ 0.5, at the best threshold.",
        paper="Choe et al., Evaluating Weakly Supervised Object Localization Methods Right, CVPR 2020",
    ),
    thresholds=np.arange(0, 1, 0.001),
    deltas=(0.5,),
    strict=False,
    rule=_by_largest_contour,
)

MAXBOXACCV2 = LocalizationProtocol(
    info=MetricInfo(
        name="maxboxaccv2",
        unit="fraction",
        direction="higher",
        summary="Any contour's box overlaps any true box; mean of IoU ≥ 0.3, 0.5, 0.7, each at its best threshold.",
        paper="Choe et al., Evaluation for Weakly Supervised Object Localization, TPAMI 2022",
    ),
    thresholds=np.arange(0, 1, 0.001),
    deltas=(0.3, 0.5, 0.7),
    strict=False,
    rule=_by_every_contour,
)

CAM2016 = LocalizationProtocol(
    info=MetricInfo(
        name="cam2016",
        unit="fraction",
        direction="higher",
        summary="The largest contour's box overlaps any true box with IoU ≥ 0.5, at 0.2 of the maximum.",
        paper="Zhou et al., Learning Deep Features for Discriminative Localization, CVPR 2016",
    ),
    thresholds=np.array([0.2]),
    deltas=(0.5,),
    strict=False,
    rule=_by_largest_contour,
)

PROTOCOLS: dict[str, LocalizationProtocol] = {p.name: p for p in (VLSCORE, MAXBOXACC, MAXBOXACCV2, CAM2016)}


def get_protocol(name: str) -> LocalizationProtocol:
    """The protocol of this name. Raises :class:`UsageError`."""
    try:
        return PROTOCOLS[name]
    except KeyError:
        raise UsageError(f"unknown protocol {name!r}; choose one of {', '.join(PROTOCOLS)}") from None
