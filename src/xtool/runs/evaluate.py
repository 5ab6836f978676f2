"""The shared evaluator: one image after the other, every method on the very same pixels and texts.

All methods get the same preprocessing, geometry, sweep of thresholds and protocol. Each is timed on the target text
alone, with shared work charged to everyone who needed it (:mod:`xtool.engine.work`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from xtool.engine.ambient import undisturbed
from xtool.engine.work import BOXES, IMAGES, Kept, account, part
from xtool.errors import DataError, PluginError, blamed
from xtool.image.geometry import Fit
from xtool.image.pixels import FittedImage, fit_image, to_pixels
from xtool.metrics.case import Case
from xtool.runs.packed import Maps, PackedMap
from xtool.runs.question import Cost, Question
from xtool.runs.records import Failure, Record, storable
from xtool.runs.zero_shot import TextBank, ZeroShot

if TYPE_CHECKING:
    from xtool.contracts.protocols import Dataset, Encoder, SaliencyMethod, Sample
    from xtool.metrics.metric import Metric
    from xtool.metrics.protocols import LocalizationProtocol

AHEAD = 4
"""Images decoded ahead of the one that is being explained."""


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
    maps: Maps = "low"
    """What is kept of maps, and scored."""


def evaluate(evaluation: Evaluation, todo: Iterable[tuple[int, Sequence[str]]]) -> Iterator[Record | Failure]:
    """Yield one record per image × method, or the failure of a method; and one failure per image that cannot be used.

    Args:
        evaluation: what is evaluated.
        todo: index of each sample and the labels of the methods that it still needs.
    """
    encoder, dataset = evaluation.encoder, evaluation.dataset
    with undisturbed(encoder.device):
        texts = TextBank(encoder, evaluation.templates, dataset.classes)
        zero_shot = ZeroShot(texts) if dataset.classes else None
        ranker = ClassRanker(evaluation, zero_shot) if zero_shot is not None else None
    for index, labels, ready in _prepared(evaluation, todo):
        if isinstance(ready, Failure):
            yield ready
            continue
        sample, image = ready
        try:
            with undisturbed(encoder.device), account(Kept()) as work:
                rank = ranker.rank(sample, image) if ranker is not None else None
                question = Question.about(sample, image.fitted, texts, evaluation.protocol, zero_shot, evaluation.maps)
                for label in labels:
                    try:
                        case, cost = question.put_to(evaluation.methods[label], work)
                        with part(BOXES):
                            record: Record | Failure = _record(evaluation, index, label, case, rank, cost)
                    except PluginError as error:
                        record = _failure(index, sample.id, error, method=label)
                    yield record
        except DataError as error:  # a mask is decoded only when a metric asks for it
            yield _failure(index, error.file, error.reason)
        except PluginError as error:
            yield _failure(index, sample.id, error)


def _failure(index: int, image: str, reason: object, method: str | None = None) -> Failure:
    return Failure(index=index, image=storable(image), error=storable(str(reason)), method=method)


def _record(evaluation: Evaluation, index: int, label: str, case: Case, rank: int | None, cost: Cost) -> Record:
    sample, target = case.sample, case.target
    measured = {metric.info.name: metric.measure(case) for metric in evaluation.metrics}
    return Record(
        index=index,
        image=storable(sample.id),
        method=label,
        label=storable(sample.label),
        rank=rank,
        image_size=target.image_map.geometry.image_size,
        true_boxes=sample.boxes.tolist(),
        ious=evaluation.protocol.best_ious(target.image_map, sample.boxes).tolist(),
        present=target.present,
        score=target.score,
        map=None if evaluation.maps == "none" else PackedMap.pack(target.image_map.low, evaluation.maps),
        values={name: value for name, value in measured.items() if value is not None},
        **asdict(cost),
    )


class ClassRanker:
    """Names the class of each image, by the classifier or by the encoder itself."""

    def __init__(self, evaluation: Evaluation, own: ZeroShot) -> None:
        self._fit = evaluation.fit
        self._encoder = evaluation.classifier or evaluation.encoder
        self._same_input = evaluation.classifier is None
        other = TextBank(self._encoder, evaluation.templates, evaluation.dataset.classes)
        self._zero_shot = own if self._same_input else ZeroShot(other)

    def rank(self, sample: Sample, image: _Ready) -> int | None:
        """Rank of the true class, from 1, among classes with different names; ``None`` for a sample without a class."""
        if sample.class_index is None:
            return None
        fitted = image.fitted if self._same_input else fit_image(image.whole, self._encoder.info, self._fit)
        with blamed(f"encoder {self._encoder.info.name}"):
            embedded = self._encoder.encode_image(to_pixels(fitted, self._encoder))
        return self._zero_shot.ranks(sample.class_index, embedded)[0]


@dataclass(frozen=True, slots=True)
class _Ready:
    whole: Any  # PIL image
    fitted: FittedImage


def _prepared(
    evaluation: Evaluation, todo: Iterable[tuple[int, Sequence[str]]]
) -> Iterator[tuple[int, Sequence[str], tuple[Sample, _Ready] | Failure]]:
    """Decode and fit images in threads, a few ahead, in order. (PIL decodes and resizes without the GIL.)"""

    def prepare(index: int) -> tuple[Sample, _Ready] | Failure:
        name = f"sample {index}"
        try:
            with blamed(f"data set {evaluation.dataset.name}"):
                sample = evaluation.dataset[index]
                name = sample.id
                whole = sample.open()
                _check_boxes(sample)
                return sample, _Ready(whole, fit_image(whole, evaluation.encoder.info, evaluation.fit))
        except DataError as error:
            return _failure(index, error.file, error.reason)
        except PluginError as error:
            return _failure(index, name, error)

    waiting = iter(todo)
    with ThreadPoolExecutor(max_workers=2, thread_name_prefix="decode") as pool:
        queue: list[tuple[int, Sequence[str], Future[tuple[Sample, _Ready] | Failure]]] = []
        try:
            while True:
                for index, labels in islice(waiting, AHEAD - len(queue)):
                    queue.append((index, labels, pool.submit(prepare, index)))
                if not queue:
                    return
                index, labels, future = queue.pop(0)
                with part(IMAGES):
                    ready = future.result()
                yield index, labels, ready
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _check_boxes(sample: Sample) -> None:
    boxes = np.asarray(sample.boxes)
    if boxes.ndim != 2 or boxes.shape[1] != 4 or not np.isfinite(boxes).all():
        raise DataError(sample.id, f"the true boxes must be finite numbers [N, 4], not {boxes.tolist()}")
