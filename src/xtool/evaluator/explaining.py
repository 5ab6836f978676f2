"""What every method says about the images of a slice, and which class each ranks first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xtool.engine.ambient import undisturbed
from xtool.engine.work import Kept, account
from xtool.errors import DataError, PluginError
from xtool.evaluator.at_once import AtOnce
from xtool.evaluator.decoding import Decoded, failure
from xtool.evaluator.evaluation import Evaluation
from xtool.evaluator.question import Cost, Question, Texts, texts_of
from xtool.evaluator.slices import Slice
from xtool.evaluator.zero_shot import ClassRanker, TextBank, ZeroShot
from xtool.metrics.case import Case
from xtool.store.records import Failure

if TYPE_CHECKING:
    from xtool.contracts.protocols import Sample

__all__ = ["Explained", "SliceExplainer"]


@dataclass(frozen=True, slots=True)
class Explained:
    """One image, explained."""

    index: int
    """Of the sample in its data set."""
    sample: Sample
    rank: int | None
    """Of the sample's class, from 1; ``None`` where there are no classes."""
    answers: dict[str, tuple[Case, Cost] | PluginError]
    """By the label of each method that is asked about it."""


@dataclass(frozen=True, slots=True)
class _Asked:
    index: int
    missing: tuple[str, ...]
    image: Decoded
    texts: Texts


class SliceExplainer:
    """Explains slices, with what all of them have in common: texts, and how many images memory is enough for."""

    def __init__(self, evaluation: Evaluation) -> None:
        self._evaluation = evaluation
        dataset, encoder = evaluation.dataset, evaluation.encoder
        with undisturbed(encoder.device):
            self._texts = TextBank(encoder, evaluation.templates, dataset.classes)
            self._zero_shot = ZeroShot(self._texts) if dataset.classes else None
            self._ranker: ClassRanker | None = None
            if self._zero_shot is not None and evaluation.classifier is not None:
                other = TextBank(evaluation.classifier, evaluation.templates, dataset.classes)
                self._ranker = ClassRanker(ZeroShot(other))
            elif self._zero_shot is not None:
                self._ranker = ClassRanker(self._zero_shot)
        self._at_once = AtOnce()

    def explained(self, one: Slice, images: Sequence[Decoded | Failure]) -> list[Explained | Failure]:
        """What is found about each image of which anything is missing, in order.

        Images that only keep the slice what it was are explained with the others, and left out of the answer.
        """
        with undisturbed(self._evaluation.encoder.device):
            asked = [
                image if isinstance(image, Failure) else self._asked(index, missing, image)
                for index, missing, image in zip(one.indices, one.missing, images, strict=True)
            ]
            usable = [each for each in asked if not isinstance(each, Failure)]
            answered = iter(self._answered(one.labels, usable) if usable else [])
        found = [each if isinstance(each, Failure) else next(answered) for each in asked]
        return [each for each, missing in zip(found, one.missing, strict=True) if missing]

    def _asked(self, index: int, missing: tuple[str, ...], image: Decoded) -> _Asked | Failure:
        try:
            return _Asked(index, missing, image, texts_of(image.sample, self._texts, self._zero_shot))
        except DataError as error:
            return failure(index, error.file, error.reason)
        except PluginError as error:
            return failure(index, image.sample.id, error)

    def _answered(self, labels: Sequence[str], asked: Sequence[_Asked]) -> list[Explained | Failure]:
        evaluation = self._evaluation
        samples = [each.image.sample for each in asked]
        kept = Kept()
        with account(kept) as work:
            question = Question.about(
                samples,
                [each.image.fitted[0] for each in asked],
                [each.texts for each in asked],
                evaluation.encoder,
                evaluation.sources,
                evaluation.protocol,
                evaluation.maps,
            )
            answers = {label: question.put_to(evaluation.methods[label], work, self._at_once) for label in labels}
            ranks: Sequence[int | PluginError | None] = [None] * len(asked)
            if self._ranker is not None:
                pictures = (
                    question.pixels if evaluation.classifier is None else [each.image.fitted[1] for each in asked]
                )
                ranks = self._ranker.ranks(samples, pictures, kept, self._at_once)
        return [
            failure(each.index, each.image.sample.id, rank)
            if isinstance(rank, PluginError)
            else Explained(each.index, each.image.sample, rank, {label: answers[label][row] for label in each.missing})
            for row, (each, rank) in enumerate(zip(asked, ranks, strict=True))
        ]
