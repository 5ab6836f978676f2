"""The shared evaluator: one slice of images after the other, every method on the very same pixels and texts.

All methods get the same preprocessing, geometry, sweep of thresholds and protocol. Each is timed on the target texts
alone, with shared work charged to everyone who needed it (:mod:`xtool.engine.work`); what the images of a slice cost
together is divided among them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict

from xtool.engine.ambient import undisturbed
from xtool.engine.work import BOXES, part
from xtool.errors import DataError, PluginError
from xtool.evaluator.decoding import decoded, failure
from xtool.evaluator.evaluation import Evaluation
from xtool.evaluator.explaining import Explained, SliceExplainer
from xtool.evaluator.question import Cost
from xtool.evaluator.slices import Slice
from xtool.metrics.case import Case
from xtool.store.packed import PackedMap
from xtool.store.records import Failure, Record, storable

__all__ = ["Engine", "Evaluation", "evaluate"]

Engine = Callable[[Evaluation, Iterable[Slice]], Iterator[Record | Failure]]
"""What evaluates: :func:`evaluate`, or what does the same elsewhere."""


def evaluate(evaluation: Evaluation, todo: Iterable[Slice]) -> Iterator[Record | Failure]:
    """Yield what is missing of slices: one record per image × method, or the failure of a method; and one failure per
    image that cannot be used.

    Boxes and metrics of a slice are made while the next one is being explained, so that a kill loses these two.

    Args:
        evaluation: what is evaluated.
        todo: any slices of the data set, in any order.
    """
    encoder, classifier = evaluation.encoder, evaluation.classifier
    infos = (encoder.info,) if classifier is None else (encoder.info, classifier.info)
    explaining = SliceExplainer(evaluation)
    slices = decoded(todo, evaluation.dataset, infos, evaluation.fit)
    beside = not any(metric.runs_the_encoder for metric in evaluation.metrics)
    with closing(slices), ThreadPoolExecutor(1, thread_name_prefix="boxes") as pool:
        waiting: deque[Future[list[Record | Failure]]] = deque()
        for one, images in slices:
            found = explaining.explained(one, images)
            if beside and len(one.indices) > 1:
                while waiting:
                    yield from _waited_for(waiting.popleft())
                waiting.extend(pool.submit(_measured, evaluation, each) for each in found)
                continue
            for each in found:
                with part(BOXES), undisturbed(encoder.device):
                    measured = _measured(evaluation, each)
                yield from measured
        while waiting:
            yield from _waited_for(waiting.popleft())


def _waited_for(measured: Future[list[Record | Failure]]) -> list[Record | Failure]:
    with part(BOXES):
        return measured.result()


def _measured(evaluation: Evaluation, about: Explained | Failure) -> list[Record | Failure]:
    """The records of one image."""
    if isinstance(about, Failure):
        return [about]
    told: list[Record | Failure] = []
    for label, answer in about.answers.items():
        try:
            if isinstance(answer, PluginError):
                raise answer
            told.append(_record(evaluation, about, label, *answer))
        except PluginError as error:
            told.append(failure(about.index, about.sample.id, error, method=label))
        except DataError as error:  # a mask is decoded only when a metric asks for it
            return [*told, failure(about.index, error.file, error.reason)]
    return told


def _record(evaluation: Evaluation, about: Explained, label: str, case: Case, cost: Cost) -> Record:
    sample, target = case.sample, case.target
    measured = {metric.info.name: metric.measure(case) for metric in evaluation.metrics}
    return Record(
        index=about.index,
        image=storable(sample.id),
        method=label,
        label=storable(sample.label),
        rank=about.rank,
        image_size=target.image_map.geometry.image_size,
        true_boxes=sample.boxes.tolist(),
        ious=evaluation.protocol.best_ious(target.image_map, sample.boxes).tolist(),
        present=target.present,
        score=target.score,
        map=None if evaluation.maps == "none" else PackedMap.pack(target.image_map.low, evaluation.maps),
        values={name: value for name, value in measured.items() if value is not None},
        **asdict(cost),
    )
