"""The shared evaluator: one image after the other, every method on the very same pixels and texts.

All methods meet the same preprocessing, geometry, sweep of thresholds and protocol. Each is timed on the target text
alone, with shared work charged to everyone who needed it (:mod:`xtool.engine.sharing`).
"""

from __future__ import annotations

import base64
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xtool.errors import DataError
from xtool.image.geometry import Fit
from xtool.metrics.image_map import ImageMap
from xtool.metrics.pointing import points_at_box
from xtool.metrics.topk import rank_of
from xtool.optional_metrics import measure
from xtool.image.pixels import FittedImage, fit_image, to_pixels
from xtool.engine.profiling import BOXES, IMAGES, METHODS, part
from xtool.engine.prompts import embed_labels
from xtool.engine.sharing import CountedEncoder, Ledger, image_ledger

if TYPE_CHECKING:
    from xtool.metrics.protocols import LocalizationProtocol
    from xtool.contracts.protocols import Dataset, Encoder, Saliency, SaliencyMethod, Sample
    from xtool.runs.records import Record

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
    metrics: frozenset[str] = frozenset()
    """Of :data:`xtool.optional_metrics.OPTIONAL_METRICS`."""


@dataclass(slots=True)
class TextBank:
    """Unit embeddings of labels, averaged over synonyms and templates; each is computed once."""

    encoder: Encoder
    templates: Sequence[str]
    classes: Sequence[tuple[str, ...]] = ()
    _synonyms: dict[str, tuple[str, ...]] = field(init=False)
    _known: dict[tuple[str, ...], Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._synonyms = {names[0]: names for names in self.classes}

    def __getitem__(self, names: tuple[str, ...]) -> Tensor:
        """[D], for all names of one label."""
        if names not in self._known:
            self._known[names] = embed_labels(self.encoder, [names], self.templates)[0]
        return self._known[names]

    def by_name(self, name: str) -> Tensor:
        """[D], for a label given by its first name; its synonyms count where the data set knows them."""
        return self[self._synonyms.get(name, (name,))]

    def all_classes(self) -> Tensor:
        """[classes, D]."""
        return embed_labels(self.encoder, self.classes, self.templates)


def evaluate(evaluation: Evaluation, todo: Iterable[tuple[int, Sequence[str]]]) -> Iterator[Record]:
    """Yield one record per image × method, and one per image that cannot be used.

    Args:
        evaluation: what is evaluated.
        todo: index of each sample and the labels of the methods that it still needs.
    """
    encoder, dataset = evaluation.encoder, evaluation.dataset
    texts = TextBank(encoder, evaluation.templates, dataset.classes)
    ranker = ClassRanker(evaluation, texts) if dataset.classes else None
    for index, labels, ready in _prepared(evaluation, todo):
        if isinstance(ready, DataError):
            yield {"index": index, "image": ready.file, "error": ready.reason}
            continue
        sample, image = ready
        rank = ranker.rank(sample, image) if ranker is not None else None
        for label, measured in explain_sample(evaluation, labels, sample, image.fitted, texts):
            yield {"index": index, "image": sample.id, "method": label, "label": sample.label, "rank": rank, **measured}


def explain_sample(
    evaluation: Evaluation, labels: Sequence[str], sample: Sample, fitted: FittedImage, texts: TextBank
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Explain one sample with each method, and measure the maps."""
    encoder = CountedEncoder(evaluation.encoder)
    pixels = to_pixels(fitted, encoder)
    target = texts[sample.synonyms][None]
    others = {kind: name for kind, name in (("absent", sample.absent), ("distractor", sample.distractor)) if name}
    other_texts = torch.stack([texts.by_name(name) for name in others.values()]) if others else None
    with image_ledger() as ledger, torch.no_grad():
        for label in labels:
            method = evaluation.methods[label]
            with part(METHODS):
                saliency, cost = _timed(method, encoder, pixels, target, ledger)
                swapped = None if other_texts is None else method.explain(encoder, pixels, other_texts)
            with part(BOXES):
                image_map = ImageMap(saliency.maps[0, 0].float().cpu().numpy(), fitted.geometry)
                record = _measure(evaluation.protocol, sample, image_map, saliency, swapped, list(others))
                record |= measure(evaluation.metrics, image_map, sample, encoder, pixels, target)
            yield label, {**record, **cost}


class ClassRanker:
    """Zero-shot classification over the data set's classes, by the classifier or by the encoder itself."""

    def __init__(self, evaluation: Evaluation, texts: TextBank) -> None:
        self._fit = evaluation.fit
        self._encoder = CountedEncoder(evaluation.classifier or evaluation.encoder)
        own = evaluation.classifier is None
        bank = texts if own else TextBank(self._encoder, evaluation.templates, evaluation.dataset.classes)
        self._classes = bank.all_classes()
        self._same_input = own

    @torch.no_grad()
    def rank(self, sample: Sample, image: _Ready) -> int | None:
        """Rank of the true class, from 1; ``None`` for a sample without a class."""
        if sample.class_index is None:
            return None
        fitted = image.fitted if self._same_input else fit_image(image.whole, self._encoder.info, self._fit)
        embedding = self._encoder.encode_image(to_pixels(fitted, self._encoder))[0]
        similarity = self._classes @ embedding
        return rank_of(similarity.cpu().numpy(), sample.class_index)


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
    method: SaliencyMethod, encoder: CountedEncoder, pixels: Tensor, text: Tensor, ledger: Ledger
) -> tuple[Saliency, dict[str, Any]]:
    forwards, charged, inside = ledger.forwards, ledger.charged_seconds, ledger.encoder_seconds
    _synchronise(pixels.device)
    start = time.perf_counter()
    saliency = method.explain(encoder, pixels, text)
    _synchronise(pixels.device)
    seconds = time.perf_counter() - start
    return saliency, {
        "seconds": seconds + ledger.charged_seconds - charged,
        "forwards": ledger.forwards - forwards,
        "seconds_here": seconds,
        "encoder_seconds_here": ledger.encoder_seconds - inside,
    }


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _measure(
    protocol: LocalizationProtocol,
    sample: Sample,
    image_map: ImageMap,
    saliency: Saliency,
    swapped: Saliency | None,
    kinds: list[str],
) -> dict[str, Any]:
    """The measured part of a record. Maps are kept, so that any other protocol can be computed later."""
    geometry = image_map.geometry
    record: dict[str, Any] = {
        "image_size": list(geometry.image_size),
        "true_boxes": np.round(sample.boxes, 2).tolist(),
        "ious": _rounded(protocol.best_ious(image_map, sample.boxes)),
        "pointing": points_at_box(image_map.full, sample.boxes),
        "present": _verdict(saliency.present, 0),
        "score": _number(saliency.scores, 0),
        "map": pack_map(image_map.low),
    }
    if swapped is not None:
        for position, kind in enumerate(kinds):
            record[f"{kind}_present"] = _verdict(swapped.present, position)
            record[f"{kind}_score"] = _number(swapped.scores, position)
        if "distractor" in kinds:
            other = swapped.maps[0, kinds.index("distractor")].float().cpu().numpy()
            record["swapped_ious"] = _rounded(protocol.best_ious(ImageMap(other, geometry), sample.boxes))
    return record


def pack_map(low: NDArray[np.float32]) -> dict[str, Any]:
    """A low-resolution map for a record: its shape and its float32 bytes, little-endian, base64."""
    return {"shape": list(low.shape), "data": base64.b64encode(np.ascontiguousarray(low, "<f4").tobytes()).decode()}


def unpack_map(packed: dict[str, Any]) -> NDArray[np.float32]:
    """The map that :func:`pack_map` packed."""
    return np.frombuffer(base64.b64decode(packed["data"]), "<f4").reshape(packed["shape"]).copy()


def _rounded(ious: NDArray[Any]) -> list[float]:
    return [round(float(value), 5) for value in ious]


def _verdict(present: Tensor | None, position: int) -> bool:
    return True if present is None else bool(present[0, position])


def _number(scores: Tensor | None, position: int) -> float | None:
    return None if scores is None else float(scores[0, position])
