"""Localization protocols: what counts as found, at which thresholds, and how a data set's number is computed.

A protocol owns its boxes: :meth:`LocalizationProtocol.boxes` gives those of a map at a threshold. Per image, the best
IoU of any predicted with any true box at every threshold is made from them, and is what a run records. Code that draws
or counts boxes asks the protocol, and gets the boxes that were scored.

Per data set: accuracy at every threshold, *then* the best threshold; the best threshold of each image would be
another, higher and meaningless number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xtool.errors import UsageError
from xtool.metrics.box_finders import Boxes, BoxFinder, Components, Contours, Sweep
from xtool.metrics.image_map import ImageMap
from xtool.metrics.info import MetricInfo

__all__ = ["PROTOCOLS", "RENAMED", "Choice", "LocalizationProtocol", "get_protocol"]

Floats = NDArray[np.float64]

SAME = 1e-9
"""Thresholds closer than this differ only by rounding."""


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
    finder: BoxFinder
    """How a map becomes boxes, and how these overlap with true ones."""

    @property
    def name(self) -> str:
        return self.info.name

    def boxes(self, image_map: ImageMap, threshold: float) -> Boxes:
        """[K, 4] the boxes of a map at one threshold: those that are scored, and no others.

        Half-open ``(x0, y0, x1, y1)`` in image pixels, not always whole ones. A map that says nothing has no box under
        ``anybox`` and ``onebox``, and the reference's dummy box at the first pixel elsewhere. Any ``threshold`` in
        [0, 1) is accepted; one that differs from one in the sweep only by rounding is taken for that one.

        Raises :class:`UsageError` out of range, :class:`xtool.plugin.SetupError` where OpenCV is needed and missing.
        """
        if not 0 <= threshold < 1:
            raise UsageError(f"threshold must lie in [0, 1), not {threshold}")
        nearest = float(self.thresholds[self._nearest(threshold)])
        exact = nearest if abs(nearest - threshold) < SAME else threshold
        return self.finder.sweep(image_map, np.array([exact])).at(0)

    def sweep(self, image_map: ImageMap) -> Sweep:
        """The boxes of a map at each of the protocol's thresholds."""
        return self.finder.sweep(image_map, self.thresholds)

    def ious(self, boxes: ArrayLike, truth: ArrayLike, image_size: tuple[int, int]) -> Floats:
        """[K, M] IoU of boxes from :meth:`boxes` with true boxes (half-open, image pixels), by the protocol's rule."""
        return self.finder.ious(boxes, truth, image_size)

    def best_ious(self, image_map: ImageMap, truth: ArrayLike) -> Floats:
        """[N] the best IoU of any predicted with any true box [M, 4], at each threshold; 0 where there is no box."""
        found = self.sweep(image_map)
        overlaps = self.ious(found.boxes, truth, image_map.geometry.image_size)
        return found.highest(overlaps.max(axis=1, initial=0.0))

    def choose(self, best_ious: ArrayLike, threshold: float | None = None) -> Choice:
        """Accuracy over a data set from ``best_ious`` [images, N]: at the best threshold, or at a given one.

        Among equals that with the best mean IoU, then the lowest. Raises :class:`UsageError` for no images or a
        threshold that is not in the sweep.
        """
        ious = self._checked(best_ious)
        return self.choice_of([self.accuracies(ious, delta) for delta in self.deltas], ious.mean(axis=0), threshold)

    def choice_of(self, rates: Sequence[Floats], means: Floats, threshold: float | None = None) -> Choice:
        """The same from what images have in common, for those that are not in memory together.

        Args:
            rates: for each of ``deltas``, [N] the share of images found at each threshold.
            means: [N] the mean over images of the best IoU at each threshold.
            threshold: as for :meth:`choose`.
        """
        fixed = None if threshold is None else self.index_of(threshold)
        indices = tuple(_best(each, means) if fixed is None else fixed for each in rates)
        return Choice(
            accuracy=float(np.mean([each[i] for each, i in zip(rates, indices, strict=True)])),
            indices=indices,
            thresholds=tuple(float(self.thresholds[i]) for i in indices),
            box_iou=float(np.mean([means[i] for i in indices])),
        )

    def credit(self, best_ious: ArrayLike, choice: Choice) -> Floats:
        """[images] how far each image counts as found: 1 or 0, or the share of the protocol's ``deltas`` it meets.

        Its mean is the accuracy; weighted by Top-k classification it gives Top-k localization.
        """
        return self.credit_of(self._checked(best_ious)[:, list(choice.indices)])

    def credit_of(self, chosen: Floats) -> Floats:
        """The same from the IoUs [images, deltas] at the chosen thresholds."""
        pairs = zip(self.deltas, chosen.T, strict=True)
        hits: Floats = np.mean([self.is_found(ious, delta) for delta, ious in pairs], axis=0)
        return hits

    def index_of(self, threshold: float) -> int:
        """Which of the protocol's thresholds a value is. Raises :class:`UsageError` if none."""
        index = self._nearest(threshold)
        if abs(self.thresholds[index] - threshold) > SAME:
            known = ", ".join(f"{t:g}" for t in self.thresholds[:3])
            raise UsageError(f"{self.name} has no threshold {threshold:g}; it has {known}, … {self.thresholds[-1]:g}")
        return index

    def is_found(self, ious: ArrayLike, delta: float) -> NDArray[np.bool_]:
        """Whether boxes of these IoUs count as found at a level, itself included or not."""
        found: NDArray[np.bool_] = np.greater(ious, delta) if self.strict else np.greater_equal(ious, delta)
        return found

    def accuracies(self, best_ious: ArrayLike, delta: float) -> Floats:
        """[N] share of images found at each threshold, from [images, N] IoUs."""
        rates: Floats = self.is_found(best_ious, delta).mean(axis=0)
        return rates

    def _nearest(self, threshold: float) -> int:
        return int(np.abs(self.thresholds - threshold).argmin())

    def _checked(self, best_ious: ArrayLike) -> Floats:
        ious = np.asarray(best_ious, np.float64)
        if ious.ndim != 2 or ious.shape[1] != len(self.thresholds) or not len(ious):
            raise UsageError(f"{self.name} needs IoUs of [images ≥ 1, {len(self.thresholds)}], got {ious.shape}")
        return ious


def _best(rates: Floats, means: Floats) -> int:
    tied = np.flatnonzero(rates == rates.max())
    return int(tied[means[tied].argmax()])


ANYBOX = LocalizationProtocol(
    info=MetricInfo(
        name="anybox",
        title="any box",
        unit="fraction",
        direction="higher",
        summary="Any component's box overlaps any true box with IoU > 0.5.",
        paper="VL-Score's code; more lenient than protocols that take one box",
    ),
    thresholds=np.arange(100) / 100,
    deltas=(0.5,),
    strict=True,
    finder=Components(every=True),
)

ONEBOX = LocalizationProtocol(
    info=MetricInfo(
        name="onebox",
        title="Acc@0.5",
        unit="fraction",
        direction="higher",
        summary="The largest component's box overlaps any true box with IoU ≥ 0.5: Acc@0.5 of phrase grounding.",
        paper="Yu et al., Modeling Context in Referring Expressions, ECCV 2016",
    ),
    thresholds=np.arange(100) / 100,
    deltas=(0.5,),
    strict=False,
    finder=Components(every=False),
)

MAXBOXACC = LocalizationProtocol(
    info=MetricInfo(
        name="maxboxacc",
        title="MaxBoxAcc",
        unit="fraction",
        direction="higher",
        summary="The largest contour's box overlaps any true box with IoU ≥ 0.5, at the best threshold.",
        paper="Choe et al., Evaluating Weakly Supervised Object Localization Methods Right, CVPR 2020",
    ),
    thresholds=np.arange(0, 1, 0.001),
    deltas=(0.5,),
    strict=False,
    finder=Contours(every=False),
)

MAXBOXACCV2 = LocalizationProtocol(
    info=MetricInfo(
        name="maxboxaccv2",
        title="MaxBoxAccV2",
        unit="fraction",
        direction="higher",
        summary="Any contour's box overlaps any true box; mean of IoU ≥ 0.3, 0.5, 0.7, each at its best threshold.",
        paper="Choe et al., Evaluation for Weakly Supervised Object Localization, TPAMI 2022",
    ),
    thresholds=np.arange(0, 1, 0.001),
    deltas=(0.3, 0.5, 0.7),
    strict=False,
    finder=Contours(every=True),
)

CAM2016 = LocalizationProtocol(
    info=MetricInfo(
        name="cam2016",
        title="CAM",
        unit="fraction",
        direction="higher",
        summary="The largest contour's box overlaps any true box with IoU ≥ 0.5, at 0.2 of the maximum.",
        paper="Zhou et al., Learning Deep Features for Discriminative Localization, CVPR 2016",
    ),
    thresholds=np.array([0.2]),
    deltas=(0.5,),
    strict=False,
    finder=Contours(every=False),
)

PROTOCOLS: dict[str, LocalizationProtocol] = {p.name: p for p in (ANYBOX, ONEBOX, MAXBOXACC, MAXBOXACCV2, CAM2016)}


RENAMED = {"vlscore": "anybox"}
"""Names of earlier versions, which runs on disk still carry."""


def get_protocol(name: str) -> LocalizationProtocol:
    """The protocol of this name, or of this earlier name. Raises :class:`UsageError`."""
    try:
        return PROTOCOLS[RENAMED.get(name, name)]
    except KeyError:
        raise UsageError(f"unknown protocol {name!r}; choose one of {', '.join(PROTOCOLS)}") from None
