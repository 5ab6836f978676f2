"""The shared evaluator: one image after the other, every method on the very same pixels and texts.

All methods get the same preprocessing, geometry, sweep of thresholds and protocol. Each is timed on the target text
alone, with shared work charged to everyone who needed it (:mod:`xtool.engine.work`).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from xtool.engine.encoders import exclusive
from xtool.engine.work import BOXES, IMAGES, METHODS, TOWER, Kept, Work, account, part
from xtool.errors import DataError
from xtool.image.geometry import Fit, Geometry
from xtool.image.pixels import FittedImage, fit_image, to_pixels
from xtool.metrics.case import Answer, Case
from xtool.metrics.image_map import ImageMap
from xtool.runs.records import Failure, PackedMap, Record
from xtool.runs.zero_shot import TextBank, ZeroShot

if TYPE_CHECKING:
    from xtool.contracts.protocols import Dataset, Encoder, Saliency, SaliencyMethod, Sample
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


def evaluate(evaluation: Evaluation, todo: Iterable[tuple[int, Sequence[str]]]) -> Iterator[Record | Failure]:
    """Yield one record per image × method, and one failure per image that cannot be used.

    Args:
        evaluation: what is evaluated.
        todo: index of each sample and the labels of the methods that it still needs.
    """
    encoder, dataset = evaluation.encoder, evaluation.dataset
    texts = TextBank(encoder, evaluation.templates, dataset.classes)
    zero_shot = ZeroShot(texts) if dataset.classes else None
    ranker = ClassRanker(evaluation, zero_shot) if zero_shot is not None else None
    for index, labels, ready in _prepared(evaluation, todo):
        if isinstance(ready, DataError):
            yield Failure(index=index, image=ready.file, error=ready.reason)
            continue
        sample, image = ready
        rank = ranker.rank(sample, image) if ranker is not None else None
        try:
            for label, case, cost in explain_sample(evaluation, labels, sample, image.fitted, texts, zero_shot):
                with part(BOXES):
                    record = _record(evaluation, index, label, case, rank, cost)
                yield record
        except DataError as error:  # a mask is decoded only when a metric asks for it
            yield Failure(index=index, image=error.file, error=error.reason)


def explain_sample(
    evaluation: Evaluation,
    labels: Sequence[str],
    sample: Sample,
    fitted: FittedImage,
    texts: TextBank,
    zero_shot: ZeroShot | None,
) -> Iterator[tuple[str, Case, _Cost]]:
    """Explain one sample with each method: what to measure, and what it cost."""
    encoder = evaluation.encoder
    pixels = to_pixels(fitted, encoder)
    target = texts[sample.synonyms][None]
    index = sample.class_index
    ranks = partial(zero_shot.ranks, index) if zero_shot is not None and index is not None else None
    others = {kind: name for kind, name in (("absent", sample.absent), ("distractor", sample.distractor)) if name}
    other_texts = torch.stack([texts.by_name(name) for name in others.values()]) if others else None
    with account(Kept()) as work, torch.no_grad():
        for label in labels:
            method = evaluation.methods[label]
            with part(METHODS), exclusive(encoder):
                saliency, cost = _timed(method, encoder, pixels, target, work)
                about_others = None if other_texts is None else method.explain(encoder, pixels, other_texts)
            answers = {
                kind: _answer(about_others, position, fitted.geometry)
                for position, kind in enumerate(others)
                if about_others is not None
            }
            case = Case(
                sample=sample,
                target=_answer(saliency, 0, fitted.geometry),
                absent=answers.get("absent"),
                distractor=answers.get("distractor"),
                protocol=evaluation.protocol,
                encoder=encoder,
                pixels=pixels,
                text=target,
                ranks=ranks,
            )
            yield label, case, cost


def _answer(saliency: Saliency, position: int, geometry: Geometry) -> Answer:
    low = saliency.maps[0, position].float().cpu().numpy()
    return Answer(
        image_map=ImageMap(low, geometry),
        present=None if saliency.present is None else bool(saliency.present[0, position]),
        score=None if saliency.scores is None else float(saliency.scores[0, position]),
    )


def _record(evaluation: Evaluation, index: int, label: str, case: Case, rank: int | None, cost: _Cost) -> Record:
    sample, target = case.sample, case.target
    measured = {metric.info.name: metric.measure(case) for metric in evaluation.metrics}
    return Record(
        index=index,
        image=sample.id,
        method=label,
        label=sample.label,
        rank=rank,
        image_size=target.image_map.geometry.image_size,
        true_boxes=sample.boxes.tolist(),
        ious=evaluation.protocol.best_ious(target.image_map, sample.boxes).tolist(),
        present=target.present,
        score=target.score,
        map=PackedMap.pack(target.image_map.low),
        values={name: value for name, value in measured.items() if value is not None},
        **asdict(cost),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cost:
    """As in a record."""

    seconds: float
    forwards: float
    seconds_here: float
    encoder_seconds_here: float


class ClassRanker:
    """Names the class of each image, by the classifier or by the encoder itself."""

    def __init__(self, evaluation: Evaluation, own: ZeroShot) -> None:
        self._fit = evaluation.fit
        self._encoder = evaluation.classifier or evaluation.encoder
        self._same_input = evaluation.classifier is None
        other = TextBank(self._encoder, evaluation.templates, evaluation.dataset.classes)
        self._zero_shot = own if self._same_input else ZeroShot(other)

    @torch.no_grad()
    def rank(self, sample: Sample, image: _Ready) -> int | None:
        """Rank of the true class, from 1, among classes with different names; ``None`` for a sample without a class."""
        if sample.class_index is None:
            return None
        fitted = image.fitted if self._same_input else fit_image(image.whole, self._encoder.info, self._fit)
        embedded = self._encoder.encode_image(to_pixels(fitted, self._encoder))
        return self._zero_shot.ranks(sample.class_index, embedded)[0]


@dataclass(frozen=True, slots=True)
class _Ready:
    whole: Any  # PIL image
    fitted: FittedImage


def _prepared(
    evaluation: Evaluation, todo: Iterable[tuple[int, Sequence[str]]]
) -> Iterator[tuple[int, Sequence[str], tuple[Sample, _Ready] | DataError]]:
    """Decode and fit images in threads, a few ahead, in order. (PIL decodes and resizes without the GIL.)"""

    def prepare(index: int) -> tuple[Sample, _Ready] | DataError:
        try:
            sample = evaluation.dataset[index]
            whole = sample.open()
            return sample, _Ready(whole, fit_image(whole, evaluation.encoder.info, evaluation.fit))
        except DataError as error:
            return error

    waiting = iter(todo)
    with ThreadPoolExecutor(max_workers=2, thread_name_prefix="decode") as pool:
        queue: list[tuple[int, Sequence[str], Future[tuple[Sample, _Ready] | DataError]]] = []
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


def _timed(
    method: SaliencyMethod, encoder: Encoder, pixels: Tensor, text: Tensor, work: Work
) -> tuple[Saliency, _Cost]:
    forwards, charged, inside = work.forwards, work.charged_seconds, work.seconds.get(TOWER, 0.0)
    _synchronise(pixels.device)
    start = time.perf_counter()
    saliency = method.explain(encoder, pixels, text)
    _synchronise(pixels.device)
    seconds = time.perf_counter() - start
    return saliency, _Cost(
        seconds=seconds + work.charged_seconds - charged,
        forwards=work.forwards - forwards,
        seconds_here=seconds,
        encoder_seconds_here=work.seconds.get(TOWER, 0.0) - inside,
    )


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
