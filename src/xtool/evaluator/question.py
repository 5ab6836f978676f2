"""The samples of a slice, put to every method as the very same question: the same pixels, the same texts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from xtool.engine.encoders import exclusive
from xtool.engine.work import METHODS, TOWER, Work, part
from xtool.errors import PluginError
from xtool.evaluator.at_once import AtOnce
from xtool.image.geometry import Geometry
from xtool.image.pixels import FittedImage, to_pixels
from xtool.metrics.case import Answer, Case
from xtool.metrics.image_map import ImageMap
from xtool.store.packed import Maps, kept

if TYPE_CHECKING:
    from xtool.contracts.protocols import Encoder, Saliency, SaliencyMethod, Sample
    from xtool.evaluator.zero_shot import TextBank, ZeroShot
    from xtool.metrics.protocols import LocalizationProtocol

__all__ = ["Cost", "Question", "Texts", "texts_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """As in a record."""

    seconds: float
    forwards: float
    seconds_here: float
    encoder_seconds_here: float

    def share(self, images: int) -> Cost:
        """That of each of so many images that were explained together."""
        return Cost(
            seconds=self.seconds / images,
            forwards=self.forwards / images,
            seconds_here=self.seconds_here / images,
            encoder_seconds_here=self.encoder_seconds_here / images,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """What is asked about one sample."""

    target: Tensor
    """[D]."""
    others: dict[str, Tensor]
    """``absent`` and ``distractor``, where the sample has them: [D]."""
    ranks: Callable[[Tensor], list[int]] | None
    """See :attr:`xtool.metrics.case.Case.ranks`."""


def texts_of(sample: Sample, texts: TextBank, zero_shot: ZeroShot | None) -> Texts:
    """``texts`` are those of the encoder that is asked, and ``zero_shot`` its classes, where there are some."""
    others = {kind: name for kind, name in (("absent", sample.absent), ("distractor", sample.distractor)) if name}
    index = sample.class_index
    return Texts(
        target=texts[sample.synonyms],
        others={kind: texts.by_name(name) for kind, name in others.items()},
        ranks=partial(zero_shot.ranks, index) if zero_shot is not None and index is not None else None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What every method is asked about the samples of a slice."""

    encoder: Encoder
    sources: Sequence[Encoder]
    """See :attr:`xtool.evaluator.evaluation.Evaluation.sources`."""
    protocol: LocalizationProtocol
    samples: Sequence[Sample]
    geometries: Sequence[Geometry]
    texts: Sequence[Texts]
    pixels: Tensor
    """[B, 3, H, W]."""
    target: Tensor
    """[B, 1, D]."""
    kinds: tuple[str, ...]
    """Of the other texts."""
    others: Tensor | None
    """[B, K, D]: the target once more where a sample lacks a kind that another sample has."""
    maps: Maps
    """How exactly maps are scored: as a record can repeat it from its own map."""

    @classmethod
    def about(
        cls,
        samples: Sequence[Sample],
        fitted: Sequence[FittedImage],
        texts: Sequence[Texts],
        encoder: Encoder,
        sources: Sequence[Encoder],
        protocol: LocalizationProtocol,
        maps: Maps,
    ) -> Question:
        """One sample, picture and texts for each image."""
        kinds = tuple(kind for kind in ("absent", "distractor") if any(kind in own.others for own in texts))
        others = [torch.stack([own.others.get(kind, own.target) for kind in kinds]) for own in texts if kinds]
        return cls(
            encoder=encoder,
            sources=sources,
            protocol=protocol,
            samples=samples,
            geometries=[each.geometry for each in fitted],
            texts=texts,
            pixels=to_pixels(fitted, encoder),
            target=torch.stack([own.target for own in texts])[:, None],
            kinds=kinds,
            others=torch.stack(others) if others else None,
            maps=maps,
        )

    def put_to(self, method: SaliencyMethod, work: Work, at_once: AtOnce) -> list[tuple[Case, Cost] | PluginError]:
        """Of each image what to measure of the method's answer, and what it cost; or why there is no answer."""
        with part(METHODS), exclusive(self.encoder, *self.sources):
            return at_once.done(lambda some: list(self._answered(method, work, some)), len(self.samples))

    def _answered(self, method: SaliencyMethod, work: Work, some: slice) -> Iterator[tuple[Case, Cost]]:
        encoder, whole = self.encoder, some == slice(0, len(self.samples))
        # The very same tensors for every method, so that they share their work.
        pixels, target = (self.pixels, self.target) if whole else (self.pixels[some], self.target[some])
        saliency, cost = _timed(method, encoder, pixels, target, work)
        about = _answers(saliency, self.geometries[some], self.maps)
        others = None if self.others is None else method.explain(encoder, pixels, self.others[some])
        about_others = None if others is None else _answers(others, self.geometries[some], self.maps)
        for row, number in enumerate(range(some.start, some.stop)):
            known = self.texts[number].others
            answers = {
                kind: about_others[row][position]
                for position, kind in enumerate(self.kinds)
                if about_others is not None and kind in known
            }
            yield (
                Case(
                    sample=self.samples[number],
                    target=about[row][0],
                    absent=answers.get("absent"),
                    distractor=answers.get("distractor"),
                    protocol=self.protocol,
                    encoder=encoder,
                    pixels=self.pixels[number : number + 1],
                    text=self.target[number],
                    ranks=self.texts[number].ranks,
                ),
                cost.share(len(pixels)),
            )


def _answers(saliency: Saliency, geometries: Sequence[Geometry], exactness: Maps) -> list[list[Answer]]:
    """By image and text."""
    maps = saliency.maps.float().cpu().numpy()
    present = None if saliency.present is None else saliency.present.tolist()
    scores = None if saliency.scores is None else saliency.scores.tolist()
    return [
        [
            Answer(
                image_map=ImageMap(kept(low, exactness), geometry),
                present=None if present is None else present[image][text],
                score=None if scores is None else scores[image][text],
            )
            for text, low in enumerate(maps[image])
        ]
        for image, geometry in enumerate(geometries)
    ]


def _timed(method: SaliencyMethod, encoder: Encoder, pixels: Tensor, text: Tensor, work: Work) -> tuple[Saliency, Cost]:
    forwards, charged, inside = work.forwards, work.charged_seconds, work.seconds.get(TOWER, 0.0)
    _synchronise(pixels.device)
    start = time.perf_counter()
    saliency = method.explain(encoder, pixels, text)
    _synchronise(pixels.device)
    seconds = time.perf_counter() - start
    return saliency, Cost(
        seconds=seconds + work.charged_seconds - charged,
        forwards=work.forwards - forwards,
        seconds_here=seconds,
        encoder_seconds_here=work.seconds.get(TOWER, 0.0) - inside,
    )


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
